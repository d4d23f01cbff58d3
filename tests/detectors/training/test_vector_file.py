from pathlib import Path

import numpy as np

from detectors.embedding import BUILTIN, Embedded, Encoder, load_encoder
from detectors.training.vector_file import VectorFile

LONG = "The tide comes in and goes out again. " * 60


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).random((2, 4), np.float32)
    first = VectorFile(tmp_path / "vectors.sqlite")
    first.put(b"key", Embedded(vectors, ((0, 5), (3, 9))))
    first.close()
    again = VectorFile(tmp_path / "vectors.sqlite")
    found = again.get(b"key")
    again.close()
    assert found is not None
    assert np.array_equal(found.vectors, vectors)
    assert found.spans == ((0, 5), (3, 9))


def test_an_encoder_says_the_same_from_the_file_without_embedding_again(
    tmp_path: Path, encoder: Encoder, monkeypatch
) -> None:
    kept = VectorFile(tmp_path / "vectors.sqlite")
    fresh = load_encoder(BUILTIN, cache=kept).windows(["short", LONG, ""])
    second = load_encoder(BUILTIN, cache=kept)
    monkeypatch.setattr(second, "_compute", None)
    again = second.windows(["short", LONG, ""])
    kept.close()
    plain = encoder.windows(["short", LONG, ""])
    assert np.array_equal(fresh.vectors, again.vectors)
    assert np.array_equal(fresh.vectors, plain.vectors)
    assert fresh.spans == again.spans == plain.spans
