"""Trains the adapter in two stages: without the left-out sources, then on all.

What the first stage says of the left-out sources is the honest figure, and the scores
are calibrated on it; the second stage makes the adapter that is shipped.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save

from detectors.cross_encoder import cross_encoder
from detectors.harm.paired import PairReader
from detectors.training.cross import ALPHA, RANK, Trainee, train_adapter
from detectors.training.harm_rows import COMPOSED, HarmRow
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
FIRST_EPOCHS: Final = 1.0
SECOND_EPOCHS: Final = 0.5


@dataclass(frozen=True)
class Adapted:
    """An adapter as it is written, and the reader that never saw LEFT_OUT."""

    weights: bytes
    record: Mapping[str, Any]
    unaware: PairReader


def is_left_out(source: str) -> bool:
    """Whether a source, or what we composed on its requests, is left out at first."""
    return source.removesuffix(COMPOSED) in LEFT_OUT


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
    first = train_adapter(
        unaware_of(rows),
        epochs=FIRST_EPOCHS,
        checkpoint=work and work / "adapter-1.pt",
        log=LOG.info,
    )
    weights, record = exported(first)
    unaware = cross_encoder(weights, record)
    second = train_adapter(
        rows,
        epochs=SECOND_EPOCHS,
        start=deepcopy(first),
        checkpoint=work and work / "adapter-2.pt",
        log=LOG.info,
    )
    return Adapted(*exported(second), unaware)


def exported(trainee: Trainee) -> tuple[bytes, dict[str, Any]]:
    """Return the adapter as safetensors and what its record must say of it."""
    weights = save(trainee.tensors())
    digest = hashlib.sha256(weights).hexdigest()
    return weights, {"sha256": digest, "lora_scale": ALPHA / RANK}
