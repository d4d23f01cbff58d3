"""Harmless questions in frightening words: ours, so that scary is not harmful.

`contrast.json` maps a sentence with a slot to the things that fill it; none asks for
harm. The answered ones are those that the explicit-harm head learns from.
"""

import json
from pathlib import Path
from typing import Final

from trial.canary.training.pool import Sample

_HERE: Final = Path(__file__).parent
_ANSWERED: Final = _HERE.parents[2] / "detectors" / "training" / "contrast.jsonl"


def contrast_prompts() -> list[str]:
    """Every pattern with every filler, in order; about 440 prompts."""
    text = (_HERE / "contrast.json").read_text("utf-8")
    return [p.format(f) for p, fillers in json.loads(text).items() for f in fillers]


def contrast_rows() -> list[Sample]:
    """Give the prompts to be complied with; about 190 have a reply."""
    rows = map(json.loads, _ANSWERED.read_text("utf-8").splitlines())
    answered = [Sample(r["request"], r["reply"], False, "contrast") for r in rows]
    return [*answered, *(Sample(p, "", False, "contrast") for p in contrast_prompts())]
