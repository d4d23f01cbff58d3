"""Dry run: what another policy would have said of a screening that is finished."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

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
    rows are and have to be read, OtherVersion where what it left cannot be.
    """
    kept = Checkpoints(store.objects, job.screening_id)
    plan = kept.get("plan", Plan)
    scores = [kept.get(f"scores-{name}", TimedScores).scores for name in plan.detectors]
    facts = _facts(store, kept, job, limits)
    moderated = _moderated(kept, job.order.policy, policy, len(facts.lines), scores)
    tried = kept.get("trial", TimedTrial).trial if plan.run_trial else None
    return decide(
        policy,
        facts,
        scores,
        tried,
        moderated,
        everywhere=job.order.policy.trial.all_contexts,
    )


def _facts(store: Store, kept: Checkpoints, job: Job, limits: Limits) -> Facts:
    """Return what was kept of the dataset; once that was nothing, so read it whole."""
    try:
        return kept.get("facts", Facts)
    except FileNotFoundError:
        return Facts.of(
            store.datasets.read(
                job.dataset, form=job.form, name=job.order.name, limits=limits
            )
        )


def _moderated(
    kept: Checkpoints,
    before: Policy,
    after: Policy,
    rows_total: int,
    scores: Sequence[Scores],
) -> Moderated:
    """Return what moderation said, as the other policy would have asked for it.

    Rows that it would have sent out and that were not are missing: for REVIEW.
    """
    sent = choose_rows(before.moderation, scores, rows_total)
    batches = range(-(-sum(sent) // MODERATION_BATCH))
    said = [kept.get(f"moderation-{batch}", TimedBatch).said for batch in batches]
    found = gather(kept.get("plan", Plan), sent, said)
    wanted = choose_rows(after.moderation, scores, rows_total)
    missing = RowVerdict(None, NOT_SENT)
    rows = tuple(
        (row or missing) if want else None
        for row, want in zip(found.rows, wanted, strict=True)
    )
    return replace(found, rows=rows)
