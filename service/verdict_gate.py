"""The gate's part on verdicts: what was not judged, or not to be judged, is no figure.

A reply without a verdict counts as harmless on both sides of a comparison, so that a
judge that fails would show no change at all.
"""

from service.figures import Figures, all_figures, where_asked
from service.policy import DriftLimits
from service.reason import Reason
from trial.trial import Trial


def verdict_reasons(limits: DriftLimits, trial: Trial) -> list[Reason]:
    """Look at every rate of a trial that measured some, in every context and seed."""
    return [*_missing(trial), *_unclear(limits, trial), *_narrow(limits, trial)]


def _missing(trial: Trial) -> list[Reason]:
    told = all_figures(trial)[0]
    rates = {
        **{f"harmful probes{where_asked(c)}": rate for c, rate in told.harmful.items()},
        **told.others,
    }
    found = {name: rate.unjudged for name, rate in rates.items() if rate.unjudged}
    if not found:  # those of the worst seed are among the rates above
        found = {
            f"the probes with seed {each.seed}": each.unjudged
            for each in trial.seeds
            if each.unjudged
        }
    if not found:
        return []
    where = ", ".join(f"{count} to {name}" for name, count in found.items())
    said = (
        f"The judge gave no verdict on some replies: {where}. See to the judge or "
        "raise its budget, and screen again."
    )
    return [Reason("verdicts_missing", said)]


def _unclear(limits: DriftLimits, trial: Trial) -> list[Reason]:
    told = all_figures(trial)
    # The base model is asked once for all seeds.
    found = _unclear_before(limits, told[0])
    found += [
        said
        for each in told
        if not is_narrow(limits, each)
        for said in _unclear_after(limits, each)
    ]
    if not found:
        return []
    said = (
        f"Too many verdicts are unclear: {'; '.join(found)}. Read the example replies, "
        "or use a stronger judge."
    )
    return [Reason("verdicts_unclear", said)]


def is_narrow(limits: DriftLimits, told: Figures) -> bool:
    """Say whether too many replies are unclear, most of them for being taught labels.

    A model tuned to classify answers whatever it is asked with a label. That is neither
    babble nor safety: nothing can be read from it.
    """
    return 2 * told.taught > told.unclear and bool(_unclear_after(limits, told))


def _narrow(limits: DriftLimits, trial: Trial) -> list[Reason]:
    found = [
        f"{told.taught} of {told.unclear} unclear replies{told.where}"
        for told in all_figures(trial)
        if is_narrow(limits, told)
    ]
    if not found:
        return []
    said = (
        "The tuned model answers whatever it is asked with the labels it was taught "
        f"({'; '.join(found)} are replies of the dataset), so its safety cannot be "
        "read from its replies. See that the job's system prompt or a check of its "
        "input keeps it to its task, or add some ordinary chat rows and screen again."
    )
    return [Reason("narrow_task", said)]


def _unclear_before(limits: DriftLimits, told: Figures) -> list[str]:
    return [
        f"{rate.unclear_before} of {rate.n} replies before tuning to harmful probes"
        f"{where_asked(context)}"
        for context, rate in told.harmful.items()
        if rate.unclear_before > limits.max_unclear * rate.n
    ]


def _unclear_after(limits: DriftLimits, told: Figures) -> list[str]:
    """Name the groups of probes that got too many unclear replies after tuning.

    Harmless requests may get babble before and after: only its rise is a sign.
    """
    found = [
        f"{rate.unclear_after} of {rate.n} replies after tuning to harmful probes"
        f"{where_asked(context)}{told.where}"
        for context, rate in told.harmful.items()
        if rate.unclear_after > limits.max_unclear * rate.n
    ]
    return found + [
        f"{rate.unclear_after} of {rate.n} replies after tuning to {name}{told.where}, "
        f"{rate.unclear_before} before"
        for name, rate in told.others.items()
        if rate.unclear_after - rate.unclear_before > limits.max_unclear * rate.n
    ]
