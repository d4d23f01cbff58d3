"""Measured drift: the same probes before and after, as paired rates with intervals."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rate (0..1) before and after on the same n prompts.

    `interval` is the 95% confidence interval (low, high) of `after - before`;
    positive = more harmful (or, for refusal rates, more refusals). `unclear_before`
    and `unclear_after` count replies the judge could not place: they are in `n`, never
    dropped.
    """

    before: float
    after: float
    interval: tuple[float, float]
    n: int
    unclear_before: int = 0
    unclear_after: int = 0
    p_value: float | None = None

    @property
    def change(self) -> float:
        """`after - before`."""
        return self.after - self.before


@dataclass(frozen=True)
class DriftReport:
    """All rate changes of one trial.

    `overall` and `categories` are harmfulness rates (share of harmful probes complied
    with); `refusal` is the refusal rate on the same probes; `over_refusal` the refusal
    rate on the harmless ones; `incoherent` the share of UNCLEAR replies on the harmless
    ones (lost utility). `detectable` is the smallest change in the overall rate that n
    probes could have shown with 80% power.
    """

    overall: RateChange
    categories: dict[str, RateChange]
    refusal: RateChange
    over_refusal: RateChange
    incoherent: RateChange
    detectable: float
