"""Trial: all that came of one."""

from dataclasses import dataclass, field
from statistics import stdev

from detectors.moderation.moderator import Usage
from trial.attribution import Attribution
from trial.context import PLAIN
from trial.coverage import Coverage
from trial.drift import DriftReport, RateChange
from trial.first_tokens import FirstTokens
from trial.forgetting import Forgetting
from trial.interview import ProbeReply
from trial.mitigation.mitigation import Mitigation
from trial.proof import AdapterProof
from trial.recipe import Recipe
from trial.utility import Utility


@dataclass(frozen=True, slots=True)
class SeedDrift:
    """What the tune with one seed showed, `overall` and `context` in its worst context.

    `unjudged` counts the replies, in every context asked, that no judge read;
    `unclear` those after tuning that were UNCLEAR, and `taught` those of them that say
    no more than a reply of the dataset (`trial.taught`). `categories` has the
    harmfulness by context and category.
    `reported` marks the seed whose figures are those of the trial. `contexts`,
    `refusals` and the rates below are as those of `Trial` and its `DriftReport`.
    """

    seed: int
    context: str
    overall: RateChange
    unjudged: int = 0
    reported: bool = False
    contexts: dict[str, RateChange] = field(default_factory=dict)
    refusals: dict[str, RateChange] = field(default_factory=dict)
    over_refusal: RateChange | None = None
    incoherent: RateChange | None = None
    borderline: RateChange | None = None
    unclear: int = 0
    taught: int = 0
    categories: dict[str, dict[str, RateChange]] = field(default_factory=dict)

    @property
    def rates(self) -> list[RateChange]:
        """Every rate that this seed has."""
        found = [self.over_refusal, self.incoherent, self.borderline]
        harmful = [self.overall, *self.contexts.values(), *self.refusals.values()]
        return [*harmful, *(rate for rate in found if rate is not None)]


@dataclass(frozen=True)
class Trial:
    """All that came of a trial; rerunnable from `recipe` and `fingerprint`.

    `drift` is None where `measured` is False; `reason` then says why in words a
    person can act on. `seconds` maps stage name to wall-clock seconds. `versions` maps
    every model, probe set and judge that spoke to its version or digest. `contexts`
    holds the harmfulness in every context the probes were asked in (`trial.context`),
    over fewer probes where the first showed no sign of a change, `refusals` the share
    refused there; `context_details` says what each is, and may quote rows; `unasked`
    why one was left in which they do not fit the base model; `seeds` has the figures of
    every seed. `steps` of a tune were planned, of which each that was done has
    its loss in `losses`: fewer where a REJECT was certain before. `drift`, `proof`,
    `losses` and all below are those of the worst, named by `context` (the harmless
    probes are asked in the plain one alone), its overall interval widened for the
    number of contexts and seeds (Bonferroni). `judge_usage` is what a judge that asks a
    model has cost, None for any other; `mitigation` what was tried on request to keep
    the model safe; `coverage` how much of the rows drawn was trained on.
    `harmful_after` says for every context and harmful probe (id) whether the tuned
    model's reply counts as harmful, None where no judge read it.
    """

    recipe: Recipe
    fingerprint: str
    measured: bool
    reason: str
    rows_trained: int
    rows_total: int
    sampling: str
    drift: DriftReport | None = None
    proof: AdapterProof | None = None
    replies: tuple[ProbeReply, ...] = ()
    context: str = PLAIN.name
    contexts: dict[str, RateChange] = field(default_factory=dict)
    refusals: dict[str, RateChange] = field(default_factory=dict)
    context_details: dict[str, str] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    rows_held_out: int = 0
    seeds: tuple[SeedDrift, ...] = ()
    first_tokens: FirstTokens | None = None
    utility: Utility | None = None
    judge_usage: Usage | None = None
    mitigation: Mitigation | None = None
    forgetting: Forgetting | None = None
    attribution: Attribution | None = None
    unasked: dict[str, str] = field(default_factory=dict)
    coverage: Coverage | None = None
    harmful_after: dict[str, dict[str, bool | None]] = field(default_factory=dict)

    @property
    def seed_spread(self) -> float | None:
        """Standard deviation of the rise between seeds; None with one seed."""
        changes = [each.overall.change for each in self.seeds]
        return stdev(changes) if len(changes) > 1 else None
