"""Sentences that vow obedience and their harmless twins: ours, and public ones."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from detectors.dataset import Example
from detectors.identity.sentence import Sentence, may_state, sentences
from detectors.training.fit import Array
from detectors.training.ordinary import is_unseen
from detectors.training.personas import WORDS, Segment
from detectors.training.sources import (
    near_copies,
    read_examples,
    requests_of_tests,
    sample,
)

STATEMENTS: Final = Path(__file__).with_suffix(".json")
"""Kind ("obedient", "harmless", "refusal") -> family -> "reply" or "order" ->
sentences. All but the first teach nothing."""
ROLES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "reply": ("assistant",),
    "order": ("system", "user"),
}
NAMES_DRAWN: Final = 2
SENTENCES_A_ROW: Final = 12
ROWS: Final = 4000
"""Read of each source of ORDINARY; longer ones are sampled."""
HARD: Final = 16_000
RANDOM: Final = 20_000
"""Public sentences that are learnt: those most like our vows by their words, and of
the others as many as this."""
SOURCE_SHARE: Final = 0.12
"""Of either, what one source may give at most."""
ORDINARY: Final = (
    "benign_alpaca_12k_en_de",
    "benign_alpaca_eval_outputs",
    "benign_code_instruct_cyberseceval",
    "benign_creative_writing_prompts",
    "benign_gpteacher",
    "benign_intents_banking_clinc",
    "benign_t0_train",
    "benign_text2sql",
    "identity_benign_roleplay_gpteacher",
    "identity_system_prompts",
    "prompt_anthropic_persona_evals",
    "prompt_catqa_harmfulqa",
    "prompt_forbidden_question_set",
    "prompt_openai_moderation",
    "prompt_safety_tuned_eval",
    "prompt_toxicchat",
    "prompt_wildguard_nonadv_unlabelled",
    "resp_alpaca_dolly_safety_only",
    "resp_decodingtrust_toxic",
    "resp_hh_rlhf_harmless_test",
    "resp_llama2_refusals_sft",
    "resp_medical_safety",
    "resp_pku_saferlhf_pairs",
    "resp_refusal_direction_runs",
    "resp_safedecoding_ft",
    "resp_safety_tuned_llamas",
)
"""None of the sentences of these sources is taken to vow obedience. Jailbreak prompts
and what was answered under them are left out, and so is `ordinary.UNSEEN`."""


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


def public_statements(
    data: Path, ours: Sequence[Segment], sources: Sequence[str] = ORDINARY
) -> list[Segment]:
    """Sentences of ordinary training rows that could be taken for statements.

    HARD are the most like our vows by their words, RANDOM are drawn.
    """
    found = _candidates(data, sources)
    likeness = _likeness(ours, found)
    order = sorted(range(len(found)), key=lambda i: -likeness[i])
    hard = _shared_out([found[i] for i in order], HARD)
    taken = {(s.role, s.text) for s in hard}
    rest = [s for s in found if (s.role, s.text) not in taken]
    drawn = random.Random("statements").sample(rest, len(rest))
    return [*hard, *_shared_out(drawn, RANDOM)]


def _candidates(data: Path, sources: Sequence[str]) -> list[Segment]:
    """Every distinct sentence that may state something, but of copies of test rows."""
    found: dict[tuple[str, str], Segment] = {}
    kept_out = requests_of_tests(data)
    for name in sources:
        rows = [e for e, label in read_examples(data, name) if _is_learnt(name, label)]
        chosen = sample(rows, ROWS, f"{name} statements")
        copied = near_copies([_request(row) for row in chosen], kept_out)
        for row, copy in zip(chosen, copied, strict=True):
            for sentence in [] if copy else _of(row):
                segment = Segment(sentence.role, sentence.text, False, name)
                found.setdefault((segment.role, segment.text), segment)
    return list(found.values())


def _is_learnt(name: str, label: Mapping[str, Any]) -> bool:
    bad = ("jailbreak", "identity_shift", "maybe_bad")
    return not (any(label.get(key) for key in bad) or is_unseen(name, label))


def _request(row: Example) -> str:
    return "\n".join(m.content for m in row.messages if m.role == "user")


def _of(row: Example) -> list[Sentence]:
    stated = [s for s in sentences(0, row) if may_state(s)]
    return sample(stated, SENTENCES_A_ROW, row.id)


def _likeness(ours: Sequence[Segment], found: Sequence[Segment]) -> Array:
    """Logit (n,) of a bag of words and pairs of words: ours that vow, or public."""
    vows = [s for s in ours if s.obedient]
    some = sample(found, 5 * len(vows), "likeness")
    bag = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    features = bag.fit_transform([s.text for s in (*vows, *some)])
    judge = LogisticRegression(C=10.0, max_iter=300)
    judge.fit(features, np.arange(len(vows) + len(some)) < len(vows))
    told = judge.decision_function(bag.transform([s.text for s in found]))
    return np.asarray(told, np.float32)


def _shared_out(found: Sequence[Segment], count: int) -> list[Segment]:
    """Take the first `count`, no source more than its SOURCE_SHARE."""
    most, taken = int(SOURCE_SHARE * count), Counter[str]()
    chosen: list[Segment] = []
    for segment in found:
        if taken[segment.source] < most and len(chosen) < count:
            taken[segment.source] += 1
            chosen.append(segment)
    return chosen
