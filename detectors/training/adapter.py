"""Trains an adapter in two stages: without what is left out, then on all.

What the first stage says of the left-out sources or wordings is the honest figure, and
the scores are calibrated on it; the second stage makes the adapter that is shipped.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save

from detectors.cross_encoder import PairReader, cross_encoder
from detectors.embedding import BUILTIN, BUILTIN_SHA256
from detectors.training.cross import (
    ALPHA,
    RANK,
    PairRow,
    Trainee,
    exchange_row,
    train_adapter,
)
from detectors.training.rows import HarmRow, source_of
from detectors.training.sources import near_copies

LOG = logging.getLogger(__name__)
LEFT_OUT: Final = (
    "benign_alpaca_eval_outputs",
    "benign_gpteacher",
    "prompt_forbidden_question_set",
    "prompt_harmbench",
    "resp_aisafetylab_eval",
    "resp_gptfuzz_labeled",
    "resp_safety_tuned_llamas",
)
"""Ordinary, complied and refused rows of sources that the first stage never sees."""
FIRST_EPOCHS: Final = 1.5
SECOND_EPOCHS: Final = 1.0


@dataclass(frozen=True)
class Adapted:
    """An adapter as it is written, and the reader that never saw LEFT_OUT."""

    weights: bytes
    record: Mapping[str, Any]
    unaware: PairReader


def is_left_out(source: str) -> bool:
    """Whether a source, or what we composed on its requests, is left out at first."""
    return source_of(source) in LEFT_OUT


def unaware_of(rows: Sequence[HarmRow]) -> list[HarmRow]:
    """Keep the rows of other sources whose request is not a left-out one, nearly."""
    asked = sorted(
        {
            r.request
            for r in rows
            if is_left_out(r.source) and len(r.request.split()) > 2
        }
    )
    others = [row for row in rows if not is_left_out(row.source)]
    copied = near_copies([row.request for row in others], asked)
    return [row for row, copy in zip(others, copied, strict=True) if not copy]


def fit_adapter(rows: Sequence[HarmRow], work: Path | None) -> Adapted:
    """Train both stages; with `work` each resumes from its checkpoint there."""
    trainee = Trainee(seed=0)
    return two_stages(
        trainee,
        [exchange_row(row, trainee.tokenizer) for row in unaware_of(rows)],
        [exchange_row(row, trainee.tokenizer) for row in rows],
        (FIRST_EPOCHS, SECOND_EPOCHS),
        work and work / "adapter",
    )


def two_stages(
    trainee: Trainee,
    some: Sequence[PairRow],
    every: Sequence[PairRow],
    epochs: tuple[float, float],
    work: Path | None,
) -> Adapted:
    """Train on `some` rows, keep a reader of that, go on with `every` row.

    `work` names the checkpoints: its name is followed by the stage.
    """
    first = train_adapter(
        some,
        trainee,
        epochs=epochs[0],
        checkpoint=work and work.with_name(f"{work.name}-1.pt"),
        log=LOG.info,
    )
    weights, record = exported(first)
    unaware = cross_encoder(weights, record)
    second = train_adapter(
        every,
        deepcopy(first),
        epochs=epochs[1],
        checkpoint=work and work.with_name(f"{work.name}-2.pt"),
        log=LOG.info,
    )
    return Adapted(*exported(second), unaware)


def exported(trainee: Trainee) -> tuple[bytes, dict[str, Any]]:
    """Return the adapter as safetensors and what its record must say of it."""
    weights = save(trainee.tensors())
    digest = hashlib.sha256(weights).hexdigest()
    return weights, {"sha256": digest, "lora_scale": ALPHA / RANK}


def adapter_file(name: str, adapted: Adapted) -> tuple[str, bytes, dict[str, Any]]:
    """Return what `write_head` writes of an adapter, the encoder's digest with it."""
    encoder = {"name": BUILTIN, "sha256": BUILTIN_SHA256}
    return name, adapted.weights, {"name": name, **adapted.record, "encoder": encoder}
