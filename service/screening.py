"""Screening: detectors, then the trial, then the gate -> Report. Knows no HTTP."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import trial.run
from detectors.chunk import ScoreChunk, score_in_chunks, score_now
from detectors.dataset import Dataset, Example
from detectors.dataset_risk import load_reference
from detectors.detector import Detector, RowDetector, Scores, Trigger
from detectors.embedding import Encoder
from detectors.errors import TrialError
from detectors.moderation.moderator import Moderator
from detectors.moderation.off import Off
from service.gate import Facts, Finding, decide, make_findings, settle
from service.moderation import Moderated, moderate_dataset, moderation_findings
from service.policy import Policy
from service.report.composition import (
    dataset_section,
    decision_section,
    detector_section,
    finding_sections,
    policy_section,
    version_section,
)
from service.report.moderation_section import moderation_section
from service.report.report import Report, TimingSection
from service.report.risk_section import risk_section
from service.report.trial_section import drift_section, trial_section
from trial.memory import FORGETFUL, Memory
from trial.mitigation.mitigation import DEFAULT, Enough
from trial.recipe import Recipe
from trial.stopping import StopRule
from trial.trial import Trial

UNSCORED_PRIORITY: Final = 2.0
"""Above every score: what could not be scored is trained on first."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all) as the work goes on."""


class TrialRunner(Protocol):
    """`trial.run.run_trial`, or a stand-in."""

    def __call__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        encoder: Encoder,
        priority: Sequence[float] | None = None,
        triggers: Sequence[Trigger] = (),
        progress: Progress | None = None,
        stop: StopRule | None = None,
        everywhere: bool = False,
        memory: Memory = FORGETFUL,
        enough: Enough = DEFAULT,
    ) -> Trial:
        """Run one trial."""
        ...


def screen(
    dataset: Dataset,
    *,
    policy: Policy,
    recipe: Recipe,
    detectors: Sequence[Detector],
    encoder: Encoder,
    run_trial: bool = True,
    progress: Progress | None = None,
    runner: TrialRunner | None = None,
    moderator: Moderator | None = None,
) -> Report:
    """Screen one dataset in one go; `service.jobs.steps` does the same step by step.

    With `run_trial` False only the detectors speak. `runner` replaces the trial. Rows
    go to `moderator` where the policy says so; without one nothing leaves the machine.
    Errors: ModelError where the base model cannot be loaded, PolicyError where the
    policy has no limits for a detector. A trial that fails is part of the report.
    """
    started_at, watch = datetime.now(UTC), Stopwatch()
    tell = progress or silent
    scores = score_rows(dataset, detectors, tell, watch)
    with watch.stage("moderation"):
        moderated = moderate_dataset(
            policy, dataset, scores, moderator or Off(), progress=tell
        )
    done = None
    if run_trial:
        with watch.stage("trial"):
            suspicion = Suspicion(
                rank_rows(policy, dataset, scores, moderated), find_triggers(scores)
            )
            done = try_recipe(runner, dataset, recipe, encoder, suspicion, tell, policy)
    heard = Heard(scores, moderated, done)
    timings = time_stages(started_at, watch.total(), done)
    return compose_report(dataset, policy, recipe, encoder, heard, timings)


@dataclass(frozen=True)
class Heard:
    """All that was said of a dataset; `trial` is None where none was run."""

    scores: Sequence[Scores]
    moderated: Moderated
    trial: Trial | None


def compose_report(
    dataset: Dataset,
    policy: Policy,
    recipe: Recipe,
    encoder: Encoder,
    heard: Heard,
    timings: TimingSection,
) -> Report:
    """Decide, and put everything in report form."""
    scores, moderated, done = heard.scores, heard.moderated, heard.trial
    decision = decide(policy, Facts.of(dataset), scores, done, moderated)
    findings = find_rows(policy, dataset, scores, moderated)
    return Report(
        decision=decision_section(decision),
        dataset=dataset_section(dataset),
        scores={s.detector: detector_section(policy, dataset, s) for s in scores},
        risk=risk_section(policy, scores, load_reference(encoder)),
        moderation=moderation_section(policy.moderation, dataset, moderated),
        findings=finding_sections(findings),
        finding_count=len(findings),
        drift=drift_section(done),
        trial=trial_section(done),
        recipe=recipe,
        policy=policy_section(policy),
        versions=version_section((encoder.name, encoder.digest), scores, done),
        timings=timings,
    )


def time_stages(
    started_at: datetime, seconds: Mapping[str, float], done: Trial | None
) -> TimingSection:
    """Put wall-clock seconds in report form, those inside the trial too."""
    inside = {} if done is None else done.seconds
    every = {**seconds, **{f"trial.{name}": s for name, s in inside.items()}}
    return TimingSection(
        started_at=started_at.isoformat(timespec="seconds"),
        seconds={name: round(s, 3) for name, s in every.items()},
    )


class Stopwatch:
    """Wall-clock seconds by stage name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what runs inside."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began

    def total(self) -> dict[str, float]:
        """Return all stages and the time since the start."""
        return {**self.seconds, "total": time.perf_counter() - self._began}


def score_rows(
    dataset: Dataset,
    detectors: Sequence[Detector],
    progress: Progress,
    watch: Stopwatch,
) -> list[Scores]:
    """Let every detector score the dataset, in the order given."""
    said = []
    for detector in detectors:
        with watch.stage(f"detector.{detector.name}"):
            said.append(score_dataset(detector, dataset, progress))
        progress(detector.name, len(dataset), len(dataset))
    return said


def score_dataset(
    detector: Detector,
    dataset: Dataset,
    progress: Progress,
    score_chunk: ScoreChunk = score_now,
) -> Scores:
    """Let one detector score the dataset, in chunks where it first reads rows alone.

    It tells what is done before each chunk; that all is done, the caller tells.
    """
    rows = len(dataset)

    def tell_and_score(
        detector: RowDetector, start: int, examples: Sequence[Example]
    ) -> Scores:
        progress(detector.name, start, rows)
        return score_chunk(detector, start, examples)

    if isinstance(detector, RowDetector):
        return score_in_chunks(detector, dataset, tell_and_score)
    progress(detector.name, 0, rows)
    return detector.score(dataset)


def find_rows(
    policy: Policy, dataset: Dataset, scores: Sequence[Scores], moderated: Moderated
) -> list[Finding]:
    """Return the findings of the detectors and of moderation, by row."""
    found = make_findings(policy, dataset, scores)
    more = moderation_findings(policy.moderation, dataset, moderated)
    return sorted([*found, *more], key=lambda finding: finding.line)


def row_priority(
    scores: Sequence[Scores], rows: int, flagged: Sequence[int] = ()
) -> list[float]:
    """Return for each row its highest score, 1 where moderation flagged it.

    Unscored rows rank above all others.
    """
    ranks = [
        max((_rank(said.values[row]) for said in scores), default=0.0)
        for row in range(rows)
    ]
    for row in flagged:
        ranks[row] = max(ranks[row], 1.0)
    return ranks


def stop_rule(policy: Policy) -> StopRule | None:
    """Return the policy's lines for drift; None where all probes are to be asked."""
    if not policy.trial.early_stop:
        return None
    limits = policy.drift
    return StopRule(
        limits.reject_change,
        limits.reject_lower,
        raised=limits.review_change,
        excluded=limits.review_upper,
    )


def rank_rows(
    policy: Policy,
    dataset: Dataset,
    scores: Sequence[Scores],
    moderated: Moderated,
) -> list[float]:
    """Return how early the trial should take each row in."""
    flagged = moderated.flagged(policy.moderation)
    return row_priority(scores, len(dataset), flagged)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What the trial is told of the rows: how early to take each in, and triggers."""

    priority: Sequence[float]
    triggers: Sequence[Trigger]


def find_triggers(scores: Sequence[Scores]) -> tuple[Trigger, ...]:
    """Return every trigger that a detector mined, the surest first."""
    found = [trigger for said in scores for trigger in said.triggers]
    return tuple(sorted(found, key=lambda trigger: trigger.p))


def _rank(value: float | None) -> float:
    settled = settle(value)
    return UNSCORED_PRIORITY if settled is None else settled


def try_recipe(
    runner: TrialRunner | None,
    dataset: Dataset,
    recipe: Recipe,
    encoder: Encoder,
    suspicion: Suspicion,
    progress: Progress,
    policy: Policy,
    memory: Memory = FORGETFUL,
) -> Trial:
    """Run the trial (`runner` None: the real one); one that fails says why."""
    try:
        return (runner or trial.run.run_trial)(
            dataset,
            recipe,
            encoder=encoder,
            priority=suspicion.priority,
            triggers=suspicion.triggers,
            progress=progress,
            stop=stop_rule(policy),
            everywhere=policy.trial.all_contexts,
            memory=memory,
            enough=Enough(policy.drift.review_change, policy.drift.review_upper),
        )
    except TrialError as error:
        return Trial(
            recipe=recipe,
            fingerprint=dataset.fingerprint,
            measured=False,
            reason=str(error),
            rows_trained=0,
            rows_total=len(dataset),
            sampling="",
        )


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody: a Progress for whoever does not listen."""
