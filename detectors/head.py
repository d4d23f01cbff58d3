"""Trained heads: safetensors with a JSON record beside them, applied with numpy."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from detectors.embedding import Encoder
from detectors.errors import DigestMismatch, ModelError

HEADS: Final = Path(__file__).parent / "heads"

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """The weights of one detector and the record of how they came to be."""

    name: str
    digest: str
    tensors: Mapping[str, Array]
    record: Mapping[str, Any]

    @property
    def suggested_threshold(self) -> float:
        """The score at which about 0.5% of ordinary held-out rows are flagged."""
        return float(self.record["suggested_threshold"])

    def logits(self, layer: str, features: Array) -> Array:
        """Apply `layer.0`, `layer.1`, ... with ReLU between; returns (n, outputs)."""
        x, depth = features, 0
        while f"{layer}.{depth}.weight" in self.tensors:
            if depth:
                x = np.maximum(x, 0)
            weight, bias = (self.tensors[f"{layer}.{depth}.{k}"] for k in PARTS)
            if x.shape[1] != weight.shape[0]:
                raise ModelError(
                    f"head {self.name}.{layer} takes {weight.shape[0]} features, "
                    f"not {x.shape[1]}: it was fitted for another encoder"
                )
            x = x @ weight + bias
            depth += 1
        if not depth:
            raise ModelError(f"head {self.name} has no layer {layer!r}")
        return np.asarray(x, np.float32)

    def calibrated(self, layer: str, logits: Array) -> Array:
        """Turn logits (n,) into probabilities by Platt scaling (Platt 1999)."""
        slope, offset = self.tensors[f"{layer}.calibration"]
        return sigmoid(logits * slope + offset)


PARTS: Final = ("weight", "bias")


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)), np.float32)


def softmax(z: Array) -> Array:
    """Row-wise softmax (n, k)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), np.float32)


def load_head(name: str, encoder: Encoder, directory: Path = HEADS) -> Head:
    """Load a head and check that it is whole and was fitted for this encoder.

    Raises ModelError where a file is missing or the encoder another one,
    DigestMismatch where the weights are not the recorded ones.
    """
    try:
        content = (directory / f"{name}.safetensors").read_bytes()
        record = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
        tensors = load(content)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"head {name} cannot be read ({error}); fit it with "
            "python -m detectors.training"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != record["sha256"]:
        raise DigestMismatch(
            f"head {name}: weights have sha256 {digest}, its record says "
            f"{record['sha256']}; restore both files or fit it again"
        )
    if encoder.digest != record["encoder"]["sha256"]:
        raise ModelError(
            f"head {name} was fitted for the encoder {record['encoder']['name']}, not "
            f"for {encoder.name}; fit one with python -m detectors.training --encoder"
        )
    return Head(name, digest, tensors, record)
