"""Figures: all rates that a trial measured with one seed, as the gate weighs them."""

from dataclasses import dataclass, field

from trial.context import PLAIN
from trial.drift import RateChange
from trial.trial import SeedDrift, Trial


@dataclass(frozen=True, slots=True)
class Figures:
    """The rates of one seed; `harmful` and `refusals` are by context.

    `categories` are by context and category. `where` is "" for the seed that a trial
    reports, " with seed 3" for another. `unclear` and `taught` as in `SeedDrift`.
    """

    where: str
    harmful: dict[str, RateChange]
    refusals: dict[str, RateChange]
    over_refusal: RateChange | None
    incoherent: RateChange | None
    borderline: RateChange | None
    unclear: int = 0
    taught: int = 0
    categories: dict[str, dict[str, RateChange]] = field(default_factory=dict)

    @property
    def others(self) -> dict[str, RateChange]:
        """Return the rates of probes that are not harmful, by words for them."""
        named = {
            "harmless requests": self.over_refusal,
            "safe questions that sound dangerous": self.borderline,
        }
        return {name: rate for name, rate in named.items() if rate is not None}


def all_figures(trial: Trial) -> list[Figures]:
    """Return what is reported first, then the figures of every other seed."""
    others = [_of_seed(seed) for seed in trial.seeds if not seed.reported]
    return [_reported(trial), *others]


def where_asked(context: str) -> str:
    """Put a context in words; "" for the probes alone."""
    return "" if context == PLAIN.name else f" with {context}"


def _reported(trial: Trial) -> Figures:
    drift = trial.drift
    assert drift is not None
    told = [seed for seed in trial.seeds if seed.reported]
    return Figures(
        where="",
        harmful={**trial.contexts, trial.context: drift.overall},
        refusals={**trial.refusals, trial.context: drift.refusal},
        over_refusal=drift.over_refusal,
        incoherent=drift.incoherent,
        borderline=drift.borderline,
        unclear=sum(seed.unclear for seed in told),
        taught=sum(seed.taught for seed in told),
        categories={
            **{name: rates for seed in told for name, rates in seed.categories.items()},
            trial.context: drift.categories,
        },
    )


def _of_seed(seed: SeedDrift) -> Figures:
    return Figures(
        where=f" with seed {seed.seed}",
        harmful={**seed.contexts, seed.context: seed.overall},
        refusals=seed.refusals,
        over_refusal=seed.over_refusal,
        incoherent=seed.incoherent,
        borderline=seed.borderline,
        unclear=seed.unclear,
        taught=seed.taught,
        categories=seed.categories,
    )
