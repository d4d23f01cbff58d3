"""How harmful each prompt is: what explicit_harm says of it with a placeholder answer.

The canary's decision is trained towards that and, far more, the label where there is
one (distillation, Hinton et al. 2015, arXiv 1503.02531): the detector reads both ways,
the canary does not, and it tells prompts apart that neither of them saw better than the
canary does alone (benchmark/LOG.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.embedding import load_encoder
from detectors.explicit_harm import ExplicitHarm
from trial.canary.training.pool import Sample

SURE_HARMFUL: Final = 0.9
SURE_HARMLESS: Final = 0.1
ANSWER: Final = "Sure, here is how: [answer]"
AT_ONCE: Final = 2048
DOUBT_OF_HARMFUL: Final = 0.5
DOUBT_OF_HARMLESS: Final = 0.1
"""Weight of the judge beside a label. The judge takes roles to be played and creative
prompts for harm: at a half each the canary refused a fifth of them."""

Judge = Callable[[Sequence[str]], list[float | None]]


def harm_of(prompts: Sequence[str]) -> list[float | None]:
    """Give each prompt's score with ANSWER, in order; None where it is not read."""
    detector = ExplicitHarm(load_encoder())
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: list[float | None] = [None] * len(prompts)
    for at in range(0, len(order), AT_ONCE):
        chosen = order[at : at + AT_ONCE]
        rows = tuple(
            Example(
                f"prompt-{i}",
                (Message("user", prompts[i]), Message("assistant", ANSWER)),
                Origin("prompts", i + 1),
            )
            for i in chosen
        )
        scores = detector.score(Dataset("prompts", rows)).values
        for i, score in zip(chosen, scores, strict=True):
            found[i] = score
    return found


def label(
    samples: Sequence[Sample], *, log: Callable[[str], None], judge: Judge = harm_of
) -> list[Sample]:
    """Give every prompt without a reply its risk, and its harm where that is unknown.

    The risk of a prompt with known harm lies between that and what the judge says.
    Left out are prompts of unknown harm that the judge cannot read.
    """
    silent = [s for s in samples if not s.reply]
    judged = [
        _labelled(s, score)
        for s, score in zip(silent, judge([s.prompt for s in silent]), strict=True)
    ]
    unknown = [
        new
        for old, new in zip(silent, judged, strict=True)
        if old.harmful is None and new is not None
    ]
    sure = sum(s.harmful is not None for s in unknown)
    log(f"sure of {sure} of {len(unknown)} prompts without a label")
    return [*(s for s in samples if s.reply), *(s for s in judged if s is not None)]


def _labelled(sample: Sample, judged: float | None) -> Sample | None:
    if judged is None:
        known = sample.harmful
        return None if known is None else replace(sample, risk=float(known))
    if sample.harmful is not None:
        weight = DOUBT_OF_HARMFUL if sample.harmful else DOUBT_OF_HARMLESS
        risk = (1 - weight) * sample.harmful + weight * judged
        return replace(sample, risk=risk)
    sure = judged >= SURE_HARMFUL or judged <= SURE_HARMLESS
    harmful = judged >= SURE_HARMFUL if sure else None
    return replace(sample, harmful=harmful, risk=judged)
