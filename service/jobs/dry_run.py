"""Dry run: what another policy would have said of a screening that is finished."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from detectors.dataset import Dataset
from detectors.detector import Scores
from detectors.moderation.rows import RowVerdict
from detectors.reader import Limits
from service.gate import Decision, Facts, decide
from service.jobs.scoring import TimedScores
from service.jobs.steps import MODERATION_BATCH, Plan, TimedBatch, TimedTrial
from service.moderation import Moderated, choose_rows, gather
from service.policy import Policy
from service.storage.checkpoint import Checkpoints
from service.storage.screening import Job
from service.storage.store import Store

NOT_SENT: Final = "the policy that was applied did not have the row moderated"


def decide_again(store: Store, job: Job, policy: Policy, limits: Limits) -> Decision:
    """Let a policy decide over what was found under another; nothing is run again.

    FileNotFoundError where the screening is deleted meanwhile, DatasetError where its
    rows are.
    """
    kept = Checkpoints(store.objects, job.screening_id)
    plan = kept.get("plan", Plan)
    scores = [kept.get(f"scores-{name}", TimedScores).scores for name in plan.detectors]
    dataset = store.datasets.read(
        job.dataset, form=job.form, name=job.order.name, limits=limits
    )
    moderated = _moderated(kept, job.order.policy, policy, dataset, scores)
    tried = kept.get("trial", TimedTrial).trial if plan.run_trial else None
    return decide(
        policy,
        Facts.of(dataset),
        scores,
        tried,
        moderated,
        everywhere=job.order.policy.trial.all_contexts,
    )


def _moderated(
    kept: Checkpoints,
    before: Policy,
    after: Policy,
    dataset: Dataset,
    scores: Sequence[Scores],
) -> Moderated:
    """Return what moderation said, as the other policy would have asked for it.

    Rows that it would have sent out and that were not are missing: for REVIEW.
    """
    sent = choose_rows(before.moderation, scores, len(dataset))
    batches = range(-(-sum(sent) // MODERATION_BATCH))
    said = [kept.get(f"moderation-{batch}", TimedBatch).said for batch in batches]
    found = gather(kept.get("plan", Plan), sent, said)
    wanted = choose_rows(after.moderation, scores, len(dataset))
    missing = RowVerdict(None, NOT_SENT)
    rows = tuple(
        (row or missing) if want else None
        for row, want in zip(found.rows, wanted, strict=True)
    )
    return replace(found, rows=rows)
