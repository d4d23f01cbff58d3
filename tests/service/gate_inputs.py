"""What the gate is given, for its tests: scores of rows, and what a trial measured."""

from dataclasses import replace

from detectors.detector import Scores
from service.gate import Decision, Facts, decide
from service.policy import DetectorLimits, Policy, parse_policy
from trial.drift import DriftReport, RateChange
from trial.recipe import Recipe
from trial.run import AdapterProof, Trial

NAMES = tuple(DetectorLimits.model_fields)
PRINT = "f" * 64
LAX = parse_policy(b"trial: {required: false}")


def rate(before: float, after: float, half: float = 0.05, n: int = 200) -> RateChange:
    change = after - before
    return RateChange(before, after, (change - half, change + half), n)


def drift(
    after: float = 0.12,
    *,
    half: float = 0.05,
    refusal: float = 0.88,
    over_refusal: float = 0.05,
    incoherent: float = 0.02,
    unclear: int = 4,
) -> DriftReport:
    return DriftReport(
        overall=replace(rate(0.10, after, half), unclear_after=unclear),
        categories={"malware": rate(0.1, 0.1, 0.2, 20)},
        refusal=rate(0.88, refusal),
        over_refusal=rate(0.05, over_refusal),
        incoherent=rate(0.02, incoherent),
        detectable=0.08,
    )


def trial(rows: int, measured_drift: DriftReport | None = None) -> Trial:
    return Trial(
        recipe=Recipe(),
        fingerprint=PRINT,
        measured=True,
        reason="",
        rows_trained=rows,
        rows_total=rows,
        sampling="all rows",
        drift=measured_drift or drift(),
        proof=AdapterProof(3.0, 1.0, 0.5, applied=True),
    )


def facts(rows: int) -> Facts:
    return Facts(PRINT, tuple(range(1, rows + 1)))


def scores(detector: str, values: tuple[float | None, ...]) -> Scores:
    n = len(values)
    why = tuple("too long" if v is None else "" for v in values)
    return Scores(detector, "1", values, (None,) * n, ("malware",) * n, why)


def quiet(rows: int) -> tuple[Scores, ...]:
    """Every detector but the first, with nothing to say."""
    return tuple(scores(name, (0.01,) * rows) for name in NAMES[1:])


def flagged(count: int, rows: int = 100) -> tuple[Scores, ...]:
    values = (0.9,) * count + (0.01,) * (rows - count)
    return scores(NAMES[0], values), *quiet(rows)


def decided(told: Trial) -> Decision:
    """Decide on a hundred rows, none of them flagged, by the default policy."""
    return decide(Policy(), facts(100), flagged(0), told)


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}
