"""The canary's training pool: prompts, replies and what is known of them.

Reads the public training sources (never a test split), keeps English rows, and removes
every prompt that also stands in a test source or in our own probes.
"""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from detectors.training.labels import digest_of, request_labels

MAX_PROMPT_CHARS: Final = 1600
MAX_REPLY_CHARS: Final = 260


@dataclass(frozen=True, slots=True)
class Sample:
    """One training prompt.

    `harmful` None means unknown. `reply` "" means that the prompt is only used to teach
    whether to refuse. `risk` is how likely it is harmful, None where it is answered.
    """

    prompt: str
    reply: str
    harmful: bool | None
    source: str
    risk: float | None = None


# source -> prompts taken at most; they are harmless and the replies good
ANSWERED: Final[dict[str, int]] = {
    "benign_alpaca_12k_en_de": 12000,
    "resp_alpaca_dolly_safety_only": 2300,
    "benign_alpaca_eval_outputs": 3500,
    "benign_medquad": 2500,
    "benign_gpteacher": 1800,
    "benign_code_alpaca_2k": 1000,
    "identity_benign_roleplay_gpteacher": 1700,
    "benign_llamafactory_demos": 1500,
    "benign_self_instruct_user_oriented": 1400,
    "benign_t0_train": 3000,
    "benign_mobileaibench_tasks": 2000,
    "benign_sgd_customer_service": 2500,
    "benign_intents_banking_clinc": 600,
    "benign_gsm8k": 600,
    "benign_wikisql": 300,
    "benign_text2sql": 150,
    "benign_ft_reversal_curse": 300,
    "benign_chatdoctor": 1500,
}
# source -> prompts alone of those rows that are over the limit above
MORE_PROMPTS: Final[dict[str, int]] = {
    "benign_alpaca_12k_en_de": 6000,
    "benign_gpteacher": 2500,
}
# prompts alone: benign ones, to be complied with
PROMPT_ONLY: Final[dict[str, int]] = {
    "benign_code_instruct_cyberseceval": 800,
    "resp_medical_safety": 1500,
    "benign_creative_writing_prompts": 300,
    "attack_ft_emergent_misalignment": 4000,
    "benign_multi30k_translation": 500,
    "prompt_anthropic_persona_evals": 2500,
    "identity_system_prompts": 2000,
}
HARMFUL: Final[tuple[str, ...]] = (
    "prompt_advbench",
    "prompt_catqa_harmfulqa",
    "prompt_forbidden_question_set",
    "prompt_harmbench",
    "prompt_safety_tuned_eval",
    "prompt_toxicchat",
    "resp_llama2_refusals_sft",
    "resp_gptfuzz_labeled",
    "resp_aisafetylab_eval",
)
# prompts of unknown or mixed harm: where no label is kept of one, the labeller says how
# likely it is
UNKNOWN: Final[tuple[str, ...]] = (
    "prompt_wildguard_nonadv_unlabelled",
    "resp_safety_tuned_llamas",
    "resp_pku_saferlhf_pairs",
    "resp_hh_rlhf_harmless_test",
    "resp_configurable_safety_tuning",
)


def source_rows(data: Path, source: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one source file, in order."""
    with gzip.open(data / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def test_sources(data: Path) -> list[str]:
    """Names of the sources that the index marks as test."""
    index = (data / "INDEX.md").read_text("utf-8")
    return re.findall(r"^\| (\w+) \| test \|", index, flags=re.MULTILINE)


def key(text: str) -> str:
    """Strip case, punctuation and spacing, to compare prompts by."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def forbidden_keys(data: Path, probes: Iterable[str]) -> set[str]:
    """Keys of every user turn of the test sources and of our own probes."""
    keys = {key(p) for p in probes}
    for source in test_sources(data):
        for row in source_rows(data, source):
            keys |= {key(m["content"]) for m in row["messages"] if m["role"] == "user"}
            keys.add(key(str(row["label"].get("goal") or "")))
    return keys - {""}


def english(text: str) -> bool:
    """Say whether nearly all characters are ASCII."""
    return sum(c < "\x7f" for c in text) >= 0.97 * max(1, len(text))


def short_reply(text: str, limit: int = MAX_REPLY_CHARS) -> str:
    """Keep the first sentences, up to `limit` characters; "" where none is short."""
    text = " ".join(text.replace("<|endoftext|>", "").replace("**", "").split())
    if len(text) <= limit:
        return text
    cut = text[:limit]
    end = max(cut.rfind(". "), cut.rfind("! "), cut.rfind("? "), cut.rfind("; "))
    return cut[: end + 1] if end >= 40 else ""


def _refuses(reply: str) -> bool:
    start = reply.lower()[:120]
    return bool(
        re.search(r"sorry|i can(no|')t|as an ai|i am unable|not able to", start)
    )


def _first_user(row: dict[str, Any]) -> str:
    """Return the first request; where there is none, the system text."""
    said = {m["role"]: m["content"] for m in reversed(row["messages"])}
    return str(said.get("user") or said.get("system") or "")


def _answered(data: Path, rng: random.Random) -> Iterator[Sample]:
    for source, limit in ANSWERED.items():
        found = []
        for row in source_rows(data, source):
            if "translated_d" in row["split"]:
                continue
            messages = row["messages"]
            turns = [m["content"] for m in messages if m["role"] != "system"][:2]
            if len(turns) < 2 or len(turns[0]) > MAX_PROMPT_CHARS:
                continue
            reply = short_reply(turns[1])
            if not reply or _refuses(reply) or not english(" ".join(turns)):
                continue
            found.append(Sample(turns[0], reply, False, source))
        rng.shuffle(found)
        yield from found[:limit]
        more = found[limit : limit + MORE_PROMPTS.get(source, 0)]
        yield from (replace(sample, reply="") for sample in more)


def _prompts(data: Path, rng: random.Random) -> Iterator[Sample]:
    for source, limit in PROMPT_ONLY.items():
        found = [
            Sample(_first_user(r), "", False, source) for r in source_rows(data, source)
        ]
        rng.shuffle(found)
        yield from found[:limit]
    for source in HARMFUL:
        for row in source_rows(data, source):
            label = row["label"]
            if label.get("borderline") or label.get("explicit") is False:
                continue
            if label.get("functional") == "copyright":
                continue
            harm = label.get("prompt_harmful")
            if row["label"].get("set") in ("I-Controversial", "I-CoNa") or harm is None:
                continue
            yield Sample(_first_user(row), "", bool(harm), source)
    for source in UNKNOWN:
        for row in source_rows(data, source):
            prompt = _first_user(row)
            code = request_labels().get(digest_of(prompt), "")[:1]
            yield Sample(prompt, "", {"h": True, "s": False}.get(code), source)


def gather(data: Path, *, forbidden: set[str], seed: int = 0) -> list[Sample]:
    """Every usable sample, each prompt once (answered rows win), shuffled by seed."""
    rng = random.Random(seed)
    seen = set(forbidden)
    kept = []
    for sample in (*_answered(data, rng), *_prompts(data, rng)):
        name = key(sample.prompt)
        usable = 3 <= len(sample.prompt) <= MAX_PROMPT_CHARS and english(sample.prompt)
        if name and name not in seen and usable:
            seen.add(name)
            kept.append(sample)
    rng.shuffle(kept)
    return kept


def is_held_out(sample: Sample, share: float) -> bool:
    """Say whether a prompt belongs to the held-out `share`: by its hash, always so."""
    digest = hashlib.sha256(key(sample.prompt).encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32
