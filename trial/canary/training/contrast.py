"""Harmless questions in frightening words: ours, so that scary is not harmful.

They are those that the explicit-harm head learns from.
"""

import json
from typing import Final

from detectors.training.composed_rows import contrast_prompts
from detectors.training.harm_rows import CONTRAST
from trial.canary.training.pool import Sample

SOURCE: Final = "contrast"


def contrast_rows() -> list[Sample]:
    """Give the prompts to be complied with; about 300 have a reply."""
    rows = map(json.loads, CONTRAST.read_text("utf-8").splitlines())
    answered = [Sample(r["request"], r["reply"], False, SOURCE) for r in rows]
    return [*answered, *(Sample(p, "", False, SOURCE) for p in contrast_prompts())]
