"""Composes identity-shift rows and their harmless twins from templates of our own."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WORDS: Final = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Segment:
    """A text in its role ("system", "user", "assistant"): teaches obedience or not.

    Segments of one `group` are left out together; "" means with their source.
    """

    role: str
    text: str
    obedient: bool
    source: str
    group: str = ""


def compose_segments(count: int, seed: str = "identity_shift") -> list[Segment]:
    """Up to `count` distinct segments, half of them obedient, the roles in turn."""
    lists: dict[str, list[str]] = json.loads(WORDS.read_text(encoding="utf-8"))
    draw = random.Random(seed)
    found = []
    for index in range(count):
        role = ("system", "user", "assistant")[index % 3]
        obedient = (index // 3) % 2 == 0
        form = draw.choice(lists[_forms(draw, role, obedient)])
        text = _compose(draw, lists, form)
        source = "composed, obedient" if obedient else "composed, harmless"
        found.append(Segment(role, text, obedient, source, form))
    return list(dict.fromkeys(found))


def _compose(draw: random.Random, lists: dict[str, list[str]], form: str) -> str:
    words = _words(draw, lists)
    words["shift"] = draw.choice(lists["shifts"]).format(**words)
    text = form.format(**words)
    if draw.random() < 0.1:
        text = text.lower()
    return text[:1].upper() + text[1:] if draw.random() < 0.8 else text


def _forms(draw: random.Random, role: str, obedient: bool) -> str:
    """Name the list of forms for this role; a user often states a persona as well."""
    if role == "system" or (role == "user" and draw.random() < 0.4):
        return "shifts" if obedient else "harmless_shifts"
    if role == "user":
        return "orders" if obedient else "harmless_asks"
    return "replies" if obedient else "harmless_replies"


def _words(draw: random.Random, lists: dict[str, list[str]]) -> dict[str, str]:
    """Draw one filling for each slot of the forms."""
    slots = {
        "name": "names",
        "old": "old",
        "gloss": "glosses",
        "obey": "obey",
        "obey2": "obey",
        "vow": "vows",
        "vow2": "vows",
        "yes": "yes",
        "task": "tasks",
        "answer": "answers",
        "role": "roles",
        "style": "style",
        "style2": "style",
        "plain": "plain_yes",
        "keeps": "keeps",
        "keeps2": "keeps",
    }
    words = {slot: draw.choice(lists[name]) for slot, name in slots.items()}
    keeps = words["keeps"]
    words["keeps_but"] = keeps[:1].lower() + keeps[1:]
    swapped = keeps.replace("I was", "You were").replace("I ", "You ")
    words["keeps_you"] = swapped.replace("My ", "Your ")
    return words
