"""Vectors of training texts, kept on disk between runs of the training command."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from detectors.embedding import Encoder

SHARD_TEXTS = 4096


class VectorStore:
    """Text -> unit vector; with a directory, nothing is embedded twice across runs.

    Keys are sha256 of the encoder's digest and the text; no text reaches the disk.
    """

    def __init__(self, encoder: Encoder, directory: Path | None = None) -> None:
        self._encoder = encoder
        self._directory = directory
        self._known: dict[str, NDArray[np.float32]] = {}
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for shard in sorted(directory.glob("*.safetensors")):
                self._known.update(load_file(shard))

    @property
    def directory(self) -> Path | None:
        """Where vectors and checkpoints are kept; None where nothing is kept."""
        return self._directory

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (n, d) in the order of the texts."""
        keys = [self._encoder.key(text).hex() for text in texts]
        missing = {
            k: t for k, t in zip(keys, texts, strict=True) if k not in self._known
        }
        todo = sorted(missing.items(), key=lambda item: len(item[1]))
        for start in range(0, len(todo), SHARD_TEXTS):
            self._add(todo[start : start + SHARD_TEXTS])
        return np.stack([self._known[key] for key in keys])

    def _add(self, part: Sequence[tuple[str, str]]) -> None:
        vectors = self._encoder.encode([text for _, text in part])
        fresh = {key: v for (key, _), v in zip(part, vectors, strict=True)}
        self._known.update(fresh)
        if self._directory is not None:
            count = len(list(self._directory.glob("*.safetensors")))
            save_file(fresh, self._directory / f"{count:05d}.safetensors")
