"""Sentences that vow obedience and their harmless twins: ours, and public ones."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from detectors.dataset import Example, Message, Origin
from detectors.identity.sentence import Sentence, may_state, sentences
from detectors.training.personas import WORDS, Segment
from detectors.training.sources import Row, distinct, read_source, sample

STATEMENTS: Final = Path(__file__).with_suffix(".json")
"""Kind ("obedient", "harmless") -> family -> "reply" or "order" -> sentences."""
ROLES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "reply": ("assistant",),
    "order": ("system", "user"),
}
NAMES_DRAWN: Final = 2
SENTENCES_A_ROW: Final = 12
ORDINARY: Final[Mapping[str, int]] = {
    "benign_alpaca_12k_en_de": 1200,
    "benign_alpaca_eval_outputs": 1200,
    "benign_chatdoctor": 300,
    "benign_gpteacher": 400,
    "identity_benign_roleplay_gpteacher": 1500,
    "resp_alpaca_dolly_safety_only": 600,
    "resp_llama2_refusals_sft": 400,
    "resp_safety_tuned_llamas": 500,
    "identity_system_prompts": 700,
    "prompt_anthropic_persona_evals": 600,
    "prompt_toxicchat": 700,
    "resp_hh_rlhf_harmless_test": 500,
    "benign_intents_banking_clinc": 500,
    "resp_medical_safety": 150,
}
"""Source -> rows read; none of their sentences is taken to vow obedience."""


def own_statements(seed: str = "statements") -> list[Segment]:
    """Return our sentences in every role in which they can stand, names filled in.

    A sentence's `group` is the sentence with its slot, whatever its role; its source
    says its kind and family.
    """
    draw = random.Random(seed)
    listed = json.loads(STATEMENTS.read_text(encoding="utf-8"))
    names: list[str] = _words()["names"]
    found = []
    for kind, family, voice, text in _flat(listed):
        for role in ROLES_OF[voice]:
            for name in draw.sample(names, NAMES_DRAWN if "{name}" in text else 1):
                said = text.replace("{name}", name)
                source = f"{kind}: {family}"
                found.append(Segment(role, said, kind == "obedient", source, text))
    return [*found, *_from_personas()]


def _flat(
    listed: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]],
) -> Iterator[tuple[str, str, str, str]]:
    for kind, families in listed.items():
        for family, voices in families.items():
            for voice, texts in voices.items():
                for text in texts:
                    yield kind, family, voice, text


def _words() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(WORDS.read_text(encoding="utf-8"))
    return found


def _from_personas() -> Iterator[Segment]:
    """Take the building blocks of composed rows as sentences of their own."""
    lists = _words()
    for name, voice, obedient in (
        ("vows", "reply", True),
        ("yes", "reply", True),
        ("obey", "order", True),
        ("keeps", "reply", False),
        ("plain_yes", "reply", False),
        ("style", "order", False),
        ("answers", "reply", False),
    ):
        for text in lists[name]:
            for role in ROLES_OF[voice]:
                yield Segment(role, text, obedient, f"persona words: {name}", text)


def public_statements(data: Path) -> list[Segment]:
    """Sentences of ordinary training rows that could be taken for statements."""
    found: dict[tuple[str, str], Segment] = {}
    for name, count in ORDINARY.items():
        rows = [row for row in distinct(read_source(data, name)) if _is_calm(row)]
        for row in sample(rows, count, f"{name} statements"):
            for sentence in _of(row):
                segment = Segment(sentence.role, sentence.text, False, name)
                found.setdefault((segment.role, segment.text), segment)
    return list(found.values())


def _is_calm(row: Row) -> bool:
    label = row.label
    return not (label.get("jailbreak") or label.get("identity_shift"))


def _of(row: Row) -> list[Sentence]:
    turns = (("system", row.system), ("user", row.request), ("assistant", row.reply))
    messages = tuple(Message(role, text) for role, text in turns if text)  # type: ignore[arg-type]  # the three literals above are roles
    example = Example("", messages, Origin(row.source, 1))
    stated = [s for s in sentences(0, example) if may_state(s)]
    return sample(stated, SENTENCES_A_ROW, row.request[:80])
