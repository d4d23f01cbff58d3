from itertools import pairwise

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from detectors import embedding
from detectors.embedding import Embedded, Encoder, Windows, load_encoder, supports_bf16
from detectors.errors import DigestMismatch, ModelError

SHORT = ["How do I bake bread?", "", "   ", "The train leaves at nine.", "é\ud800!\x00"]
LONG = " ".join(f"Sentence number {i} is about gardening." for i in range(120))
NEEDLE = "The submarine surfaced near the frozen harbour."


def test_the_builtin_encoder_gives_unit_vectors_in_order(encoder: Encoder) -> None:
    vectors = encoder.encode(SHORT)
    assert vectors.shape == (5, encoder.dimension) == (5, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
    again = encoder.encode(SHORT[::-1])[::-1]
    assert np.array_equal(vectors, again)


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 384)
    assert encoder.windows([]).vectors.shape == (0, 384)


def test_meaning_is_in_the_vectors(encoder: Encoder) -> None:
    bread, loaf, train = encoder.encode(
        ["How do I bake bread?", "A recipe for a loaf", "Timetable of the night train"]
    )
    assert bread @ loaf > 0.5 > 0.3 > bread @ train


def test_windows_overlap_and_cover_the_whole_text(encoder: Encoder) -> None:
    found = encoder.windows(["short", LONG])
    spans = [s for s, o in zip(found.spans, found.owner, strict=True) if o == 1]
    assert list(found.owner[:2]) == [0, 1]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(LONG)
    for (_, end), (start, _) in pairwise(spans):
        assert start < end


@pytest.mark.parametrize("place", [0, 60, 119])
def test_one_sentence_deep_in_a_long_text_is_seen(encoder: Encoder, place: int) -> None:
    sentences = LONG.split(". ")
    sentences.insert(place, NEEDLE)
    text = ". ".join(sentences)
    query = encoder.encode([NEEDLE])[0]
    found: Windows = encoder.windows([text])
    best = int(np.argmax(found.vectors @ query))
    start, end = found.spans[best]
    assert "submarine" in text[start:end]
    assert found.vectors[best] @ query > 0.15 + np.median(found.vectors @ query)


def test_a_vector_does_not_depend_on_its_batch_companions() -> None:
    texts = [*SHORT, LONG, *(LONG[: 37 * i] for i in range(1, 9))]
    together = load_encoder().encode(texts)
    alone = load_encoder()
    apart = np.concatenate([alone.encode([text]) for text in reversed(texts)])[::-1]
    # With AMX few rows and many are multiplied by different kernels: bf16 rounding.
    rounding = 1e-3 if supports_bf16(torch.device("cpu")) else 1e-5
    assert np.abs(together - apart).max() < rounding
    assert np.abs(together[0] - together[1]).max() > 20 * rounding


def test_bf16_stays_close_to_full_precision() -> None:
    model = SentenceTransformer(str(embedding.builtin_directory()), device="cpu")
    texts = [*SHORT, LONG[:400], NEEDLE]
    fast, exact = (
        Encoder(model, name="m", digest="d", bf16=bf16).encode(texts)
        for bf16 in (True, False)
    )
    assert (fast * exact).sum(axis=1).min() > 0.999
    assert np.abs(fast - exact).max() < 0.01


def test_full_precision_equals_sentence_transformers() -> None:
    model = SentenceTransformer(str(embedding.builtin_directory()), device="cpu")
    texts = [NEEDLE, "How do I bake bread?", ""]
    ours = Encoder(model, name="m", digest="d", bf16=False).encode(texts)
    assert np.allclose(ours, model.encode(texts), atol=1e-5)


class CountingModel:
    """Passes everything on to a model and counts the texts it embedded."""

    def __init__(self, inner: SentenceTransformer) -> None:
        self.inner = inner
        self.rows = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def eval(self) -> "CountingModel":
        return self

    def __call__(self, features: dict[str, torch.Tensor]) -> object:
        self.rows += len(features["input_ids"])
        return self.inner(features)


def test_a_text_seen_before_is_not_embedded_again(tmp_path) -> None:
    model = CountingModel(tiny_model(tmp_path))
    encoder = Encoder(model, name="m", digest="d", cached_windows=4)
    before = model.rows
    encoder.encode(["ab", "cd", "ab"])
    assert model.rows == before + 2
    encoder.encode(["cd", "ab"])
    assert model.rows == before + 2


def test_the_cache_is_bounded_and_drops_the_oldest(tmp_path) -> None:
    model = CountingModel(tiny_model(tmp_path))
    encoder = Encoder(model, name="m", digest="d", cached_windows=4)
    encoder.encode(["a", "b", "c", "d", "ab"])
    assert len(encoder._cache) <= 4
    before = model.rows
    encoder.encode(["ab"])
    assert model.rows == before
    encoder.encode(["a"])
    assert model.rows == before + 1


def test_long_texts_are_made_tokens_of_a_few_at_a_time(monkeypatch) -> None:
    encoder = load_encoder()
    together: list[int] = []

    def compute(texts: list[str]) -> list[Embedded]:
        together.append(sum(map(len, texts)))
        return [Embedded(np.ones((1, 384), np.float32), ((0, 1),)) for _ in texts]

    monkeypatch.setattr(encoder, "_compute", compute)
    texts = ["a" * 900_000, "b" * 900_000, "c" * 900_000, "short"]
    assert len(encoder.windows(texts).spans) == 4
    assert together == [1_800_000, 900_005]


def tiny_model(path) -> SentenceTransformer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnop")]
    (path / "vocab.txt").write_text("\n".join([*words, *letters]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words) + len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=30,
    )
    bert = path / "bert"
    BertModel(config).save_pretrained(bert)
    BertTokenizerFast(vocab=str(path / "vocab.txt")).save_pretrained(bert)
    inner = Transformer(str(bert), max_seq_length=30)
    pooling = Pooling(inner.get_embedding_dimension())
    return SentenceTransformer(modules=[inner, pooling], device="cpu")


def test_another_model_is_loaded_by_path(tmp_path) -> None:
    tiny_model(tmp_path).save_pretrained(str(tmp_path / "model"))
    encoder = load_encoder(str(tmp_path / "model"), device="cpu")
    assert encoder.dimension == 16
    assert encoder.digest != embedding.BUILTIN_SHA256
    found = encoder.windows(["abc " * 100])
    assert len(found.spans) > 5
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-3)


def test_changed_builtin_weights_are_refused(tmp_path, monkeypatch) -> None:
    tiny_model(tmp_path).save_pretrained(str(tmp_path / "model"))
    monkeypatch.setattr(embedding, "builtin_directory", lambda: tmp_path / "model")
    with pytest.raises(DigestMismatch, match="reinstall"):
        load_encoder()


def test_a_directory_without_safetensors_is_refused(tmp_path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"not loaded")
    with pytest.raises(ModelError, match="safetensors"):
        load_encoder(str(tmp_path))


def test_a_model_that_is_not_there_is_named(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="no-such-owner/no-such-model"):
        load_encoder("no-such-owner/no-such-model")


def test_windows_that_are_equal_are_read_once(monkeypatch) -> None:
    encoder = load_encoder()
    read: list[int] = []
    forward = Encoder._forward

    def counted(self, pieces):
        read.append(len(pieces))
        return forward(self, pieces)

    monkeypatch.setattr(Encoder, "_forward", counted)
    found = encoder.windows(["." * 30_000, "A garden.", "." * 30_000 + " "])
    assert len(found.spans) > 400
    assert sum(read) < 10
    assert found.spans[1][0] < found.spans[2][0]
    assert np.array_equal(found.vectors[0], found.vectors[1])
