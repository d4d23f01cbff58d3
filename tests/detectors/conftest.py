from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.dataset import Dataset
from detectors.embedding import Encoder, load_encoder
from detectors.reader import Limits, read_dataset


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Dataset]:
    """Return a function that writes bytes to a file and reads them as a dataset."""

    def written_and_read(data: bytes, limits: Limits | None = None) -> Dataset:
        path = tmp_path / "upload.bin"
        path.write_bytes(data)
        return read_dataset(path, limits=limits or Limits())

    return written_and_read
