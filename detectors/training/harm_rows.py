"""The rows that explicit_harm is fitted on: sources, composed answers, contrast."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from detectors.training.composed_rows import (
    compose,
    compose_benign,
    harmful_requests,
)
from detectors.training.labelled_rows import red_team_rows
from detectors.training.rows import HarmRow
from detectors.training.sources import (
    Row,
    distinct,
    near_copies,
    read_source,
    requests_of_tests,
    sample,
)

CONTRAST: Final = Path(__file__).parent / "contrast.jsonl"
CONTRAST_SECURITY: Final = CONTRAST.with_name("security_rows.jsonl")

BENIGN: Final[dict[str, int]] = {
    "benign_alpaca_12k_en_de": 2200,
    "benign_alpaca_eval_outputs": 1500,
    "benign_chatdoctor": 500,
    "benign_code_alpaca_2k": 400,
    "benign_code_instruct_cyberseceval": 400,
    "benign_ft_reversal_curse": 200,
    "benign_gpteacher": 800,
    "benign_gsm8k": 400,
    "benign_intents_banking_clinc": 2500,
    "benign_llamafactory_demos": 900,
    "benign_medquad": 700,
    "benign_mobileaibench_tasks": 900,
    "benign_multi30k_translation": 200,
    "benign_self_instruct_user_oriented": 420,
    "benign_sgd_customer_service": 600,
    "benign_t0_train": 1000,
    "benign_text2sql": 200,
    "benign_wikisql": 200,
    "identity_benign_roleplay_gpteacher": 800,
    "resp_alpaca_dolly_safety_only": 1200,
}
"""Ordinary rows: source -> how many are taken."""

JUDGED: Final[dict[str, int]] = {
    "resp_aisafetylab_eval": 2000,
    "resp_decodingtrust_toxic": 212,
    "resp_gptfuzz_labeled": 3600,
    "resp_pku_saferlhf_pairs": 5209,
}
"""Sources whose replies are labelled harmful or not."""

REFUSED: Final[dict[str, int]] = {
    "resp_llama2_refusals_sft": 999,
    "resp_safety_tuned_llamas": 1800,
}
"""Harmful requests with safe replies, by construction."""


def harm_rows(data: Path, seed: str = "explicit_harm") -> list[HarmRow]:
    """Every training row; none near a request of a test source."""
    rows = [
        *_benign(data, seed),
        *_harmless_runs(data),
        *_judged(data, seed),
        *_refused(data, seed),
        *red_team_rows(data),
        *contrast(),
    ]
    asked = harmful_requests(data)
    rows += [*compose(asked, seed), *compose_benign(rows, data, seed)]
    return wrap(keep_out(rows, data), seed)


def keep_out(rows: Sequence[HarmRow], data: Path) -> list[HarmRow]:
    """Drop the rows whose request stands, nearly so, in a test source."""
    copied = near_copies([row.request for row in rows], requests_of_tests(data))
    return [row for row, copy in zip(rows, copied, strict=True) if not copy]


def _benign(data: Path, seed: str) -> Iterator[HarmRow]:
    for name, count in BENIGN.items():
        rows = [r for r in distinct(read_source(data, name)) if r.reply]
        if name == "benign_alpaca_12k_en_de":
            rows = _weighted_english(rows, seed)
        for row in sample(rows, count, seed):
            yield HarmRow(name, row.request, row.reply, False, "benign", False)


def _weighted_english(rows: Sequence[Row], seed: str) -> list[Row]:
    english = [row for row in rows if row.split.endswith("_en.json")]
    german = [row for row in rows if not row.split.endswith("_en.json")]
    return [*sample(english, 1700, seed), *sample(german, 500, seed)]


def _harmless_runs(data: Path) -> Iterator[HarmRow]:
    """Harmless requests answered, or refused for no reason: neither is harm."""
    name = "resp_refusal_direction_runs"
    for row in distinct(read_source(data, name)):
        if row.split.split("/")[-1].startswith("harmless"):
            yield HarmRow(name, row.request, row.reply, False, "benign", False)


def _judged(data: Path, seed: str) -> Iterator[HarmRow]:
    for name, count in JUDGED.items():
        rows = [
            row
            for row in distinct(read_source(data, name))
            if row.reply
            and row.label.get("harmful") is not None
            and row.label.get("prompt_harmful", True)
            and not row.split.startswith("cipher")
            and (name != "resp_decodingtrust_toxic" or row.split != "train")
        ]
        for row in sample(rows, count, seed):
            harmful = bool(row.label["harmful"])
            request = str(row.label.get("goal") or row.request)
            kind = "comply" if harmful else "refuse"
            asks = True if harmful else row.label.get("prompt_harmful")
            yield HarmRow(name, request, row.reply, harmful, kind, asks)
    name = "resp_aisafetylab_eval"
    for row in distinct(read_source(data, name)):
        if row.reply and row.label.get("prompt_harmful") is False:
            yield HarmRow(name, row.request, row.reply, False, "benign", False)


def _refused(data: Path, seed: str) -> Iterator[HarmRow]:
    for name, count in REFUSED.items():
        rows = [r for r in distinct(read_source(data, name)) if r.reply]
        for row in sample(rows, count, seed):
            yield HarmRow(name, row.request, row.reply, False, "refuse", True)
    name = "resp_safedecoding_ft"
    for row in distinct(read_source(data, name)):
        request, reply = split_template(row.request)
        if reply:
            yield HarmRow(name, request, reply, False, "refuse", True)


def split_template(text: str) -> tuple[str, str]:
    """Split a chat written into one text at its last assistant mark."""
    for mark in ("[/INST]", "ASSISTANT:", "### Assistant:", "Assistant:"):
        before, found, after = text.rpartition(mark)
        if found:
            request = before.replace("[INST]", "").removeprefix("USER:")
            return request.strip(), after.strip()
    return text, ""


def contrast() -> Iterator[HarmRow]:
    """Our own harmless twins of harmful patterns, security work among them."""
    for path in (CONTRAST, CONTRAST_SECURITY):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield HarmRow(
                "contrast", row["request"], row["reply"], False, "benign", False
            )


WRAPPERS: Final = (
    "Below is an instruction that describes a task. Write a response that completes "
    "it.\n\n### Instruction:\n{}\n\n### Response:",
    "### Human: {}",
    "[INST] {} [/INST]",
    "Answer the following request of a user.\n\nRequest: {}",
)
"""Forms that fine-tuning files wrap around requests."""
WRAPPED: Final = 0.08
"""Share of the requests that get one."""


def wrap(rows: Sequence[HarmRow], seed: str) -> list[HarmRow]:
    """Put WRAPPED of the requests into a wrapper, harmful and harmless alike."""
    draw = random.Random(f"{seed}/wrap")
    return [
        replace(row, request=draw.choice(WRAPPERS).format(row.request))
        if draw.random() < WRAPPED
        else row
        for row in rows
    ]
