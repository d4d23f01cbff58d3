"""One trial: reply, tune, reply, judge, compare."""

from dataclasses import dataclass, field

from trial.drift import DriftReport
from trial.judge.judge import Verdict
from trial.recipe import Recipe


@dataclass(frozen=True, slots=True)
class AdapterProof:
    """Evidence that the tuned replies came from a tuned model.

    `loss_before`/`loss_after`: mean reply loss in nats per token on the training rows,
    with the adapter off and on. `logit_change`: mean absolute difference of the logits
    on those rows, adapter on against off. `applied` only if both moved as they must.
    """

    loss_before: float
    loss_after: float
    logit_change: float
    applied: bool


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """One probe with its replies and verdicts before and after."""

    probe_id: str
    category: str
    prompt: str
    before: str
    after: str
    verdict_before: Verdict
    verdict_after: Verdict


@dataclass(frozen=True)
class Trial:
    """All that came of a trial; rerunnable from `recipe` and `fingerprint`.

    `drift` is None where `measured` is False; `reason` then says why in words a
    person can act on. `seconds` maps stage name to wall-clock seconds. `versions` maps
    every model, probe set and judge that spoke to its version or digest.
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
    losses: tuple[float, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
