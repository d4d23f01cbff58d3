"""Rows with replies of ours: requests answered in placeholders or refused."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from detectors.training.labelled_rows import HARMFUL, SAFE, labelled_requests
from detectors.training.phrases import (
    COMPLIANCES,
    HOWEVER,
    PLACEHOLDERS,
    REFUSALS,
    SAFE_TURNS,
)
from detectors.training.rows import COMPOSED, COMPOSED_BENIGN, HarmRow
from detectors.training.sources import Row, distinct, read_source, sample

ORDINARY: Final = 2600
"""Ordinary rows whose requests are answered anew."""
CONTRAST_PROMPTS: Final = Path(__file__).with_name("contrast_prompts.json")
"""A sentence with a slot -> what fills it; none asks for harm."""


def contrast_prompts() -> list[str]:
    """Harmless questions in frightening words, without an answer; about 440."""
    patterns = json.loads(CONTRAST_PROMPTS.read_text(encoding="utf-8"))
    return [p.format(f) for p, fillers in patterns.items() for f in fillers]


JUDGED_USERS: Final = "prompt_toxicchat"
"""Requests of real users, which people judged."""
PROMPTS: Final[dict[str, Callable[[Row], bool]]] = {
    "prompt_advbench": lambda row: True,
    "prompt_catqa_harmfulqa": lambda row: (
        row.label.get("borderline") is not True
        and "Financial" not in str(row.label.get("category"))
        and "Political" not in str(row.label.get("category"))
    ),
    "prompt_forbidden_question_set": lambda row: bool(row.label.get("explicit")),
    "prompt_harmbench": lambda row: bool(row.label.get("prompt_harmful")),
    "prompt_safety_tuned_eval": lambda row: bool(row.label.get("prompt_harmful")),
    "prompt_toxicchat": lambda row: (
        bool(row.label.get("prompt_harmful")) and not row.label.get("jailbreak")
    ),
}
"""Harmful requests without replies, and which of their rows are clear cases."""


def harmful_requests(data: Path) -> list[Row]:
    """List requests that ask for explicit harm, from the prompt sources."""
    told = [
        row
        for name, clear in PROMPTS.items()
        for row in distinct(read_source(data, name))
        if clear(row)
    ]
    labelled = labelled_requests(data)
    return [*told, *(row for row, code in labelled if code.startswith(HARMFUL))]


def compose(asked: Sequence[Row], seed: str) -> list[HarmRow]:
    """One refusal and one placeholder compliance of ours for each request."""
    draw = random.Random(f"{seed}/compose")
    rows = []
    for row in asked:
        refusal = composed_refusal(draw)
        opening = str(row.label.get("target") or draw.choice(COMPLIANCES))
        comply = f"{opening} {draw.choice(PLACEHOLDERS)}"
        if draw.random() < 0.1:
            comply = f"{draw.choice(REFUSALS)} {draw.choice(HOWEVER)} {comply}"
        name = row.source + COMPOSED
        rows.append(HarmRow(name, row.request, refusal, False, "refuse", True))
        rows.append(HarmRow(name, row.request, comply, True, "comply", True))
    return rows


def composed_refusal(draw: random.Random) -> str:
    """Draw a refusal of ours, two in five with an offer behind it."""
    refusal = draw.choice(REFUSALS)
    return f"{refusal} {draw.choice(SAFE_TURNS)}" if draw.random() < 0.4 else refusal


def compose_benign(rows: Sequence[HarmRow], data: Path, seed: str) -> list[HarmRow]:
    """Harmless requests with our openings and refusals: neither phrase is harm."""
    draw = random.Random(f"{seed}/benign")
    benign = [row for row in rows if row.kind == "benign"]
    twins = [row for row in benign if row.source == "contrast"]
    scary = [
        HarmRow("contrast", prompt, "", False, "benign", False)
        for prompt in contrast_prompts()
    ]
    pool = [*draw.sample(benign, min(ORDINARY, len(benign))), *twins, *scary]
    pool += _real_users(data, seed)
    found = []
    for row in pool:
        opening = draw.choice(COMPLIANCES)
        keep = row.reply and draw.random() < 0.3
        rest = row.reply if keep else draw.choice(PLACEHOLDERS)
        refused = draw.random() < 0.25
        reply = draw.choice(REFUSALS) if refused else f"{opening} {rest}"
        kind = "over-refuse" if refused else "benign"
        found.append(HarmRow(COMPOSED_BENIGN, row.request, reply, False, kind, False))
    return found


def _real_users(data: Path, seed: str) -> list[HarmRow]:
    """Take requests that people, or a model, judged harmless; without replies."""
    calm = [
        row
        for row in distinct(read_source(data, JUDGED_USERS))
        if row.label.get("prompt_harmful") is False and not row.label.get("jailbreak")
    ]
    labelled = [row for row, code in labelled_requests(data) if code == SAFE]
    return [
        HarmRow(row.source, row.request, "", False, "benign", False)
        for row in [*sample(calm, 1500, seed), *labelled]
    ]
