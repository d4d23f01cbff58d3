"""Train the canary: python -m trial.canary.training --data DIR --work DIR [--out DIR].

One pass over rows that teach what to answer and prompts that teach when to refuse,
mixed. Restartable: every step leaves its result in the work folder and is skipped where
that result is already there.
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
from trial.canary.training.contrast import SOURCE as CONTRAST
from trial.canary.training.contrast import contrast_rows
from trial.canary.training.encoding import Encoder
from trial.canary.training.everyday import SOURCE as EVERYDAY
from trial.canary.training.everyday import everyday_samples
from trial.canary.training.framing import framed_prompts
from trial.canary.training.labeller import label
from trial.canary.training.loop import Plan, train
from trial.canary.training.losses import Learner
from trial.canary.training.meaning import meanings_of
from trial.canary.training.pool import Sample
from trial.canary.training.refusals import OPENING, refusal
from trial.canary.training.shape import (
    build_model,
    build_tokenizer,
    choose_pieces,
    load,
    save,
)

HERE = Path(__file__).parents[1]
HELD_OUT = 0.03
FRAMED_ROWS = 6000
OURS = (CONTRAST, EVERYDAY)
LEARNING_RATE = 8e-4
FINAL_SHARE = 0.01


def main(argv: Sequence[str] | None = None) -> None:
    """Run every stage that is not done yet."""
    options = _parse(argv)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    log = _logger(options.work / "train.log")
    labelled = _labelled(options.data, options.work, log)
    used = [s for s in labelled if not pool.is_held_out(s, HELD_OUT)]
    held = [s for s in labelled if pool.is_held_out(s, HELD_OUT)]
    pieces, model = _beginning(options, used)
    tokenizer = build_tokenizer(pieces)
    samples = _weighted(used)
    encoder = Encoder(tokenizer, [s for s in used if s.reply], seed=1)
    rows = [encoder.encode(s, i) for i, s in enumerate(samples)]
    meanings = meanings_of([s.prompt for s in samples], options.work / "meanings.pt")
    losses = train(
        Learner(model, meanings, pieces.index(OPENING)),
        rows,
        pad=pieces.index("[PAD]"),
        plan=Plan(
            options.steps,
            options.learning_rate,
            FINAL_SHARE,
            options.work / "checkpoint.pt",
            options.seed,
        ),
        log=log,
    )
    model.eval()
    bias = calibrate(model, tokenizer, held, log=log)
    save(model, tokenizer, options.out)
    summary = {
        "steps": len(losses),
        "rows": len(rows),
        "loss_first_50": sum(losses[:50]) / 50,
        "loss_last_50": sum(losses[-50:]) / 50,
        "refusal_bias": bias,
        "harmful": sum(bool(s.harmful) for s in used),
        "sources": dict(Counter(s.source for s in used)),
    }
    (options.work / "training.json").write_text(json.dumps(summary, indent=1))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--start", type=Path, help="go on from this canary")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--seed", type=int, default=0, help="of the order of rows")
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


def _labelled(data: Path, work: Path, log: Any) -> list[Sample]:
    saved = work / "pool.json"
    if saved.exists():
        return [Sample(**s) for s in json.loads(saved.read_text("utf-8"))]
    forbidden = _forbidden(data)
    ours = [*contrast_rows(), *everyday_samples()]
    ours = [s for s in ours if pool.key(s.prompt) not in forbidden]
    framed = [s for s in framed_prompts(data) if pool.key(s.prompt) not in forbidden]
    asked = [*pool.gather(data, forbidden=forbidden), *ours]
    samples = [*label(asked, log=log), *framed[:FRAMED_ROWS]]
    random.Random(7).shuffle(samples)
    saved.write_text(json.dumps([dataclasses.asdict(s) for s in samples]))
    return samples


def _weighted(samples: Sequence[Sample]) -> list[Sample]:
    """Every row, ours twice: about a fifth of them harmful."""
    return [*samples, *(s for s in samples if s.source in OURS)]


def _beginning(
    options: argparse.Namespace, samples: Sequence[Sample]
) -> tuple[list[str], Any]:
    """Return word pieces and model: a canary to go on from, or MiniLM made causal."""
    if options.start is None:
        pieces = _pieces(options.work, samples)
        return pieces, build_model(pieces)
    return load(options.start)


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
