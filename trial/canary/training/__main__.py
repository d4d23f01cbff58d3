"""Train the canary: python -m trial.canary.training --data DIR --work DIR [--out DIR].

Two stages, as large models are made: English first (every token of harmless rows), then
a short alignment that teaches when to refuse. Restartable: every step leaves its result
in the work folder and is skipped where that result is already there.
"""

import argparse
import dataclasses
import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trial.canary.training import pool
from trial.canary.training.calibration import calibrate
from trial.canary.training.contrast import contrast_rows
from trial.canary.training.encoding import Encoder
from trial.canary.training.labeller import label_unknown
from trial.canary.training.loop import train
from trial.canary.training.pool import Sample
from trial.canary.training.refusals import OPENING, refusal
from trial.canary.training.shape import (
    build_model,
    build_tokenizer,
    choose_pieces,
    save,
)

HERE = Path(__file__).parents[1]
HELD_OUT = 0.03
KNOWN_BENIGN_FOR_LABELLER = 5000
LANGUAGE_RATE = 1e-3
ALIGNMENT_RATE = 8e-4


def main(argv: Sequence[str] | None = None) -> None:
    """Run every stage that is not done yet."""
    options = _parse(argv)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    log = _logger(options.work / "train.log")
    forbidden = _forbidden(options.data)
    spoken = [
        s
        for s in pool.spoken(options.data, forbidden=forbidden)
        if not pool.is_held_out(s, HELD_OUT)
    ]
    asked = pool.gather(options.data, forbidden=forbidden)
    pieces = _pieces(options.work, [*spoken, *asked])
    tokenizer = build_tokenizer(pieces)
    model: Any = build_model(pieces)
    encoder = Encoder(tokenizer, [s for s in asked if s.reply], seed=1)
    common: dict[str, Any] = {
        "pad": pieces.index("[PAD]"),
        "refusal_token": pieces.index(OPENING),
        "log": log,
    }
    language = train(
        model,
        [encoder.encode_spoken(s) for s in spoken],
        steps=options.language_steps,
        learning_rate=LANGUAGE_RATE,
        final_share=0.1,
        checkpoint=options.work / "language.pt",
        **common,
    )
    labelled = _labelled(asked, forbidden, options.work, log)
    used = [s for s in labelled if not pool.is_held_out(s, HELD_OUT)]
    held = [s for s in labelled if pool.is_held_out(s, HELD_OUT)]
    alignment = train(
        model,
        [encoder.encode(s) for s in _weighted(used)],
        steps=options.alignment_steps,
        learning_rate=ALIGNMENT_RATE,
        final_share=0.01,
        checkpoint=options.work / "alignment.pt",
        **common,
    )
    model.eval()
    bias = calibrate(model, tokenizer, held, log=log)
    save(model, tokenizer, options.out)
    summary = {
        "language": _course(language, spoken),
        "alignment": _course(alignment, used),
        "harmful": sum(bool(s.harmful) for s in used),
        "refusal_bias": bias,
    }
    (options.work / "training.json").write_text(json.dumps(summary, indent=1))


def _course(losses: list[float], samples: Sequence[Sample]) -> dict[str, Any]:
    return {
        "steps": len(losses),
        "loss_first_50": sum(losses[:50]) / 50,
        "loss_last_50": sum(losses[-50:]) / 50,
        "sources": dict(Counter(s.source for s in samples)),
    }


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--language-steps", type=int, default=2400)
    parser.add_argument("--alignment-steps", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(argv)


def _logger(path: Path) -> Any:
    began = time.monotonic()

    def log(text: str) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(f"{time.monotonic() - began:7.0f}s {text}\n")

    return log


def _forbidden(data: Path) -> set[str]:
    probes = [
        json.loads(line)["prompt"]
        for path in sorted((HERE.parent / "probes").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return pool.forbidden_keys(data, probes)


def _labelled(
    asked: list[Sample], forbidden: set[str], work: Path, log: Any
) -> list[Sample]:
    saved = work / "pool.json"
    if saved.exists():
        return [Sample(**s) for s in json.loads(saved.read_text("utf-8"))]
    answered = [s for s in asked if s.reply]
    contrast = [s for s in contrast_rows() if pool.key(s.prompt) not in forbidden]
    sampled = answered[:KNOWN_BENIGN_FOR_LABELLER]
    known = [s for s in asked if not s.reply] + sampled + contrast
    labelled = label_unknown(known, log=log)
    samples = labelled + answered[KNOWN_BENIGN_FOR_LABELLER:]
    random.Random(7).shuffle(samples)
    saved.write_text(json.dumps([dataclasses.asdict(s) for s in samples]))
    return samples


def _weighted(samples: Sequence[Sample]) -> list[Sample]:
    """Every sample once, the contrast prompts three times."""
    contrast = [s for s in samples if s.source == "contrast"]
    return [*samples, *contrast, *contrast]


def _pieces(work: Path, samples: Sequence[Sample]) -> list[str]:
    saved = work / "pieces.json"
    if not saved.exists():
        rng = random.Random(3)
        ours = [refusal(rng) for _ in range(500)]
        texts = [f"{s.prompt} {s.reply}" for s in samples]
        saved.write_text(json.dumps(choose_pieces([*texts, *ours])))
    pieces: list[str] = json.loads(saved.read_text("utf-8"))
    return pieces


if __name__ == "__main__":
    main()
