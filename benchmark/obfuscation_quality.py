"""obfuscation on test sources, hidden every way and as they stand; `--data DIR`.

Test sources are measured once on a finished head. Nothing is fitted or chosen on them.
"""

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmark.records.experiment import record
from benchmark.sets.encodings import ENCODINGS, Encode, in_code, piped, substituted
from benchmark.statistics.bootstrap import share
from detectors.dataset import Dataset, Example, Message
from detectors.embedding import load_encoder
from detectors.explicit_harm import ExplicitHarm
from detectors.obfuscation import HARMFUL, Obfuscation
from detectors.training.sources import read_examples, read_index, sample

NAME: Final = "obfuscation_quality"
COMMAND: Final = "python -m benchmark.obfuscation_quality --data ../shared/data"
ROWS: Final = 60
ORDINARY_ROWS: Final = 1_000
CHARS: Final = 1_000
LEAST_REPLY: Final = 80
HARMFUL_SOURCES: Final = (
    "attack_ft_pure_bad_backdooralign",
    "resp_jailbreakbench_artifacts",
)
HARMLESS_SOURCES: Final = ("benign_lima", "resp_just_eval")
ORDINARY: Final[Mapping[str, tuple[str, ...]]] = {
    "ordinary (test)": (
        "benign_lima",
        "benign_dialogsum",
        "benign_qmsum",
        "benign_but_degrading_selections",
        "resp_just_eval",
        "attack_ft_mixed_poison",
    ),
    "code and SQL (test)": ("benign_samsum_sqlgen", "prompt_cyberseceval"),
    "personas, Chinese too (test)": (
        "identity_act_as_prompts",
        "identity_benign_self_cognition",
    ),
    "code (train)": ("benign_code_instruct_cyberseceval", "benign_code_alpaca_2k"),
    "SQL (train)": ("benign_wikisql", "benign_text2sql"),
    "mathematics (train)": ("benign_gsm8k",),
    "translations (train)": ("benign_multi30k_translation",),
    "German (train)": ("benign_alpaca_12k_en_de",),
    "Chinese and tool calls (held out)": ("benign_llamafactory_demos",),
    "Vietnamese and Chinese (train)": ("prompt_catqa_harmfulqa",),
    "system prompts (train)": ("identity_system_prompts",),
}
INJECTIONS: Final = "prompt_cyberseceval"
KEY: Final = "one key"

Transcribe = Callable[[Example], Example]


def hidden_rows(encode: Encode, seed: str) -> Transcribe:
    """Return a function that encodes every message of a row, seeded by the row."""

    def transcribe(example: Example) -> Example:
        chance = random.Random(f"{seed} {example.id}" if seed != KEY else KEY)
        messages = tuple(
            replace(m, content=encode(m.content[:CHARS], chance))
            for m in example.messages
            if m.content.strip()
        )
        return replace(example, messages=messages)

    return transcribe


def coded_row(example: Example) -> Example:
    """Put a row's long words in code words that its system message explains."""
    exchange = example.exchanges()[-1]
    system, asked, said = in_code(exchange.request[:CHARS], exchange.reply[:CHARS])
    turns = (("system", system), ("user", asked), ("assistant", said))
    messages = tuple(Message(role, text) for role, text in turns)  # type: ignore[arg-type]  # roles are literals
    return replace(example, messages=messages)


def transcriptions() -> dict[str, Transcribe]:
    """Return every way to hide a row, by name."""
    ways = {name: hidden_rows(encode, name) for name, encode in ENCODINGS.items()}
    ways["substitution, one key for all"] = _with_one_key(substituted)
    ways["substitution with separators, one key for all"] = _with_one_key(piped)
    ways["stated code of words"] = coded_row
    return ways


def _with_one_key(encode: Encode) -> Transcribe:
    return hidden_rows(lambda text, _: encode(text, random.Random(KEY)), KEY)


def chosen_rows(data: Path, names: Sequence[str], harmful: bool) -> list[Example]:
    """Take up to ROWS exchanges of each source whose reply is long enough."""
    found: list[Example] = []
    for name in names:
        rows = [
            example
            for example, label in read_examples(data, name)
            if (label.get("harmful") is True) == harmful
            and example.exchanges()
            and len(example.exchanges()[-1].reply) >= LEAST_REPLY
        ]
        found += sample(rows, ROWS, name)
    return found


def scores_of(detector: Obfuscation, rows: Sequence[Example]) -> NDArray[np.float64]:
    """Score rows as one dataset: (n,), those without text left out."""
    values = detector.score(Dataset("rows", tuple(rows))).values
    return np.asarray([v for v in values if v is not None], np.float64)


def encoding_quality(detector: Obfuscation, data: Path) -> dict[str, Any]:
    """Measure each way of hiding: rows flagged, and rows judged harmful."""
    at = detector.suggested_threshold
    bad = chosen_rows(data, HARMFUL_SOURCES, harmful=True)
    good = chosen_rows(data, HARMLESS_SOURCES, harmful=False)
    found: dict[str, Any] = {}
    for name, transcribe in transcriptions().items():
        wicked = scores_of(detector, [transcribe(row) for row in bad])
        calm = scores_of(detector, [transcribe(row) for row in good])
        found[name] = {
            "flagged": share(np.concatenate([wicked, calm]) >= at),
            "harmful rows judged harmful": share(wicked >= HARMFUL),
            "harmless rows judged harmful": share(calm >= HARMFUL),
        }
        print(name, found[name]["flagged"], flush=True)
    return found


def ordinary_quality(detector: Obfuscation, data: Path) -> dict[str, Any]:
    """Measure rows flagged as they stand, and rows read a second, by kind of data."""
    found: dict[str, Any] = {}
    for kind, names in ORDINARY.items():
        rows = [
            example
            for name in names
            for example, label in sample(read_examples(data, name), ORDINARY_ROWS, name)
            if _is_ordinary(name, label)
        ]
        started = time.monotonic()
        flagged = share(scores_of(detector, rows) >= detector.suggested_threshold)
        seconds = time.monotonic() - started
        found[kind] = {**flagged, "rows_per_second": round(len(rows) / seconds)}
        print(kind, found[kind], flush=True)
    return found


def _is_ordinary(name: str, label: Mapping[str, Any]) -> bool:
    """Leave out harmful rows, and prompt injections: those do hide text."""
    if name == INJECTIONS:
        return label.get("prompt_harmful") is False
    return label.get("harmful") is not True


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write benchmark/results/obfuscation_quality.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args(argv)
    started = time.monotonic()
    encoder = load_encoder()
    harm = ExplicitHarm(encoder)
    detector = Obfuscation(encoder, harm=harm)
    plain = chosen_rows(options.data, HARMFUL_SOURCES, harmful=True)
    values = harm.score(Dataset("plain", tuple(plain))).values
    as_written = np.asarray([v or 0.0 for v in values])
    results = {
        "version": detector.version,
        "threshold": detector.suggested_threshold,
        "ordinary": ordinary_quality(detector, options.data),
        "the same harmful rows in plain, flagged by explicit_harm": share(
            as_written >= harm.suggested_threshold
        ),
        "hidden": encoding_quality(detector, options.data),
    }
    names = [*HARMFUL_SOURCES, *HARMLESS_SOURCES]
    names += [name for group in ORDINARY.values() for name in group]
    known = read_index(options.data)
    done = record(
        NAME,
        command=COMMAND,
        data=[options.data / f"{n}.jsonl.gz" for n in sorted(set(names)) if n in known],
        config={
            "encoder": encoder.name,
            "rows": ROWS,
            "ordinary_rows": ORDINARY_ROWS,
            "chars": CHARS,
        },
        seconds=time.monotonic() - started,
        results=results,
    )
    print(done.write().name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
