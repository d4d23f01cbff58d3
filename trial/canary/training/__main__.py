"""Train the canary: python -m trial.canary.training --data DIR --work DIR [--out DIR].

Restartable: every stage leaves its result in the work folder and is skipped where that
result is already there. Stages: pool, labels, rows, training, calibration, export.
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

from trial.canary.training.calibration import calibrate
from trial.canary.training.contrast import contrast_prompts
from trial.canary.training.encoding import Encoder
from trial.canary.training.labeller import label_unknown
from trial.canary.training.loop import train
from trial.canary.training.pool import Sample, forbidden_keys, gather
from trial.canary.training.refusals import OPENING, refusal
from trial.canary.training.shape import (
    build_model,
    build_tokenizer,
    choose_pieces,
    save,
)

HERE = Path(__file__).parents[1]
HELD_OUT = 0.03
HARMFUL_ROWS = 6000
SILENT_ROWS = 5000
KNOWN_BENIGN_FOR_LABELLER = 5000


def main(argv: Sequence[str] | None = None) -> None:
    """Run every stage that is not done yet."""
    options = _parse(argv)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    log = _logger(options.work / "train.log")
    samples = _labelled(options.data, options.work, log)
    held, used = _split(samples)
    log(f"{len(used)} for training, {len(held)} held out")
    pieces = _pieces(options.work, used)
    tokenizer = build_tokenizer(pieces)
    model: Any = build_model(pieces)
    answered = [s for s in used if s.reply]
    encoder = Encoder(tokenizer, answered, seed=1)
    rows = [encoder.encode(s) for s in _weighted(used)]
    log(f"{len(rows)} rows, {sum(len(r.ids) for r in rows)} tokens a pass")
    losses = train(
        model,
        rows,
        pad=pieces.index("[PAD]"),
        refusal_token=pieces.index(OPENING),
        steps=options.steps,
        batch_size=64,
        learning_rate=options.learning_rate,
        checkpoint=options.work / "checkpoint.pt",
        log=log,
    )
    model.eval()
    bias = calibrate(model, tokenizer, held, log=log)
    save(model, tokenizer, options.out)
    (options.work / "training.json").write_text(
        json.dumps(
            {
                "steps": len(losses),
                "rows": len(rows),
                "tokens_a_pass": sum(len(r.ids) for r in rows),
                "loss_first_50": sum(losses[:50]) / 50,
                "loss_last_50": sum(losses[-50:]) / 50,
                "refusal_bias": bias,
                "sources": dict(Counter(s.source for s in used)),
                "harmful": sum(bool(s.harmful) for s in used),
            },
            indent=1,
        )
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(argv)


def _logger(path: Path) -> Any:
    began = time.monotonic()

    def log(text: str) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(f"{time.monotonic() - began:7.0f}s {text}\n")

    return log


def _labelled(data: Path, work: Path, log: Any) -> list[Sample]:
    saved = work / "pool.json"
    if saved.exists():
        return [Sample(**s) for s in json.loads(saved.read_text("utf-8"))]
    probes = [
        json.loads(line)["prompt"]
        for path in sorted((HERE.parent / "probes").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    pool = gather(data, forbidden=forbidden_keys(data, probes))
    answered = [s for s in pool if s.reply]
    contrast = [Sample(p, "", False, "contrast") for p in contrast_prompts()]
    sampled = answered[:KNOWN_BENIGN_FOR_LABELLER]
    known = [s for s in pool if not s.reply] + sampled + contrast
    labelled = label_unknown(known, log=log)
    samples = labelled + answered[KNOWN_BENIGN_FOR_LABELLER:]
    saved.write_text(json.dumps([dataclasses.asdict(s) for s in samples]))
    return samples


def _split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    shuffled = list(samples)
    random.Random(7).shuffle(shuffled)
    count = int(HELD_OUT * len(shuffled))
    return shuffled[:count], shuffled[count:]


def _weighted(samples: Sequence[Sample]) -> list[Sample]:
    """Take every answered row, and the first of the rows that only decide.

    Contrast prompts stand three times. More rows that only teach when to refuse cost
    time that the model needs to learn to talk.
    """
    contrast = [s for s in samples if s.source == "contrast"]
    answered = [s for s in samples if s.reply]
    harmful = [s for s in samples if s.harmful][:HARMFUL_ROWS]
    silent = [s for s in samples if not s.reply and not s.harmful][:SILENT_ROWS]
    return [*answered, *harmful, *silent, *contrast, *contrast]


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
