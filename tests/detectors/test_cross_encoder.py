import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from detectors import cross_encoder
from detectors.cross_encoder import (
    MAX_TOKENS,
    OUTPUTS,
    CrossEncoder,
    encode_pair,
    forget_readers,
    load_cross_encoder,
)
from detectors.embedding import supports_bf16
from detectors.errors import DigestMismatch, ModelError
from detectors.training.cross import (
    ALPHA,
    RANK,
    Trainee,
    exchange_row,
    train_adapter,
)
from detectors.training.rows import HarmRow

PAIRS = [
    ("How do I boil an egg?", "Nine minutes in boiling water."),
    ("Name a colour.", "Blue. " * 400),
    ("", "\ud800 hostile \x00 text"),
    ("word " * 400, ""),
]


@pytest.fixture(scope="module")
def trainee() -> Trainee:
    found = Trainee(seed=0).eval()
    with torch.no_grad():
        for name, value in found.encoder.named_parameters():
            if "lora_B" in name:
                value.copy_(0.02 * torch.randn_like(value))
    return found


@pytest.fixture(scope="module")
def saved(trainee: Trainee, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    content = save(trainee.tensors())
    record = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "lora_scale": ALPHA / RANK,
    }
    (folder / "a.safetensors").write_bytes(content)
    (folder / "a.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def reader(saved: Path) -> CrossEncoder:
    return load_cross_encoder("a", directory=saved)


def test_the_merged_adapter_says_what_the_trained_one_said(
    trainee: Trainee, reader: CrossEncoder
) -> None:
    own = CrossEncoder(
        trainee.encoder, trainee.tokenizer, trainee.output, digest="trained"
    )
    found = reader.logits(PAIRS)
    assert found.shape == (len(PAIRS), len(OUTPUTS))
    np.testing.assert_allclose(found, own.logits(PAIRS), atol=0.06)
    assert np.ptp(found[:, 0]) > 0.1


def test_a_pair_is_judged_alike_alone_and_among_others(reader: CrossEncoder) -> None:
    together = reader.logits(PAIRS * 3)
    rounding = 0.005 if supports_bf16(torch.device("cpu")) else 1e-5
    assert np.ptp(together[:, 0]) > 20 * rounding
    for i, pair in enumerate(PAIRS):
        alone = reader.logits([pair])[0]
        np.testing.assert_allclose(alone, together[i], atol=rounding)
    assert reader.logits([]).shape == (0, len(OUTPUTS))


def test_a_pair_is_read_once_and_told_from_one_with_the_same_letters(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = load_cross_encoder("a", directory=saved)
    read: list[tuple[str, str]] = []
    plain = reader._read
    monkeypatch.setattr(
        reader, "_read", lambda pairs: [read.extend(pairs), plain(pairs)][1]
    )
    pairs = [("only", "here"), ("onl", "yhere"), ("only", "here")]
    first = reader.logits(pairs)
    again = reader.logits(pairs[::-1])
    assert read == pairs[:2]
    np.testing.assert_array_equal(first, again[::-1])
    assert not np.allclose(first[0], first[1])


def test_what_is_remembered_is_bounded(
    reader: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_encoder, "KEPT", 3)
    pairs = [(f"number {n}", "said") for n in range(6)]
    found = reader.logits(pairs)
    assert len(reader._kept) == 3
    np.testing.assert_allclose(reader.logits(pairs), found, atol=0.005)


def test_few_pairs_are_tokens_at_one_time(
    reader: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(f"pair {n}", "word " * n) for n in range(5)]
    whole = reader._read(pairs)
    waiting = [0]
    plain, forward = cross_encoder.encode_pair, reader._forward

    def encode(*given: Any) -> Any:
        waiting.append(waiting[-1] + 1)
        return plain(*given)

    def read(batch: Any) -> Any:
        waiting.append(waiting[-1] - len(batch))
        return forward(batch)

    monkeypatch.setattr(cross_encoder, "encode_pair", encode)
    monkeypatch.setattr(reader, "_forward", read)
    monkeypatch.setattr(cross_encoder, "PAIRS_AT_ONCE", 2)
    np.testing.assert_allclose(reader._read(pairs), whole, atol=0.005)
    assert max(waiting) == 2
    assert waiting[-1] == 0


def test_of_two_long_texts_both_keep_a_part(trainee: Trainee) -> None:
    ids, segments = encode_pair(trainee.tokenizer, "one " * 500, "two " * 500)
    assert len(ids) == MAX_TOKENS
    assert 0.4 * MAX_TOKENS < sum(segments) < 0.6 * MAX_TOKENS


@pytest.mark.parametrize("name", ["a.json", "a.safetensors"])
def test_a_missing_file_is_a_model_error(
    saved: Path, tmp_path: Path, name: str
) -> None:
    for file in saved.iterdir():
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="adapter a cannot be read"):
        load_cross_encoder("a", directory=tmp_path)


def test_changed_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    content = (saved / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[:-1] + b"\x01")
    (tmp_path / "a.json").write_bytes((saved / "a.json").read_bytes())
    with pytest.raises(DigestMismatch, match="restore both files"):
        load_cross_encoder("a", directory=tmp_path)


def test_equal_readers_are_one_until_forgotten(saved: Path) -> None:
    first = load_cross_encoder("a", directory=saved)
    assert load_cross_encoder("a", directory=saved) is first
    forget_readers()
    assert load_cross_encoder("a", directory=saved) is not first


@pytest.mark.slow
def test_training_separates_what_it_is_shown_and_resumes(tmp_path: Path) -> None:
    rows = [
        HarmRow("a", "please do it", f"sorry, no {i}", False, "refuse", True)
        for i in range(40)
    ] + [
        HarmRow("a", "please do it", f"sure, done {i}", True, "comply", True)
        for i in range(40)
    ]
    said: list[str] = []
    kept: dict[str, Any] = {"checkpoint": tmp_path / "c.pt", "log": said.append}
    trainee = Trainee(seed=0)
    data = [exchange_row(row, trainee.tokenizer) for row in rows]
    trained = train_adapter(data, trainee, epochs=30, **kept)
    reader = CrossEncoder(trained.encoder, trained.tokenizer, trained.output, digest="")
    found = reader.logits([("please do it", "sorry, no"), ("please do it", "sure")])
    assert found[1, 0] > found[0, 0] + 1
    assert "80 rows" in said[0]
