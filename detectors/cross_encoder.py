"""Reads two texts together: MiniLM with a LoRA adapter and one or more outputs.

A bi-encoder sees request and reply apart; what a reply does with its request only shows
where both are read at once (cross-encoder, as in Nogueira and Cho, arXiv 1901.04085).
"""

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from detectors.embedding import (
    BUILTIN_SHA256,
    SURROGATES,
    bf16_where,
    builtin_directory,
    length_batches,
    padded,
    supports_bf16,
    weights_digest,
)
from detectors.errors import DigestMismatch, ModelError

OUTPUTS: Final = ("harmful", "asks_harm", "complies")
"""Of the adapter for exchanges, in order; another adapter has outputs of its own."""
MAX_TOKENS: Final = 512
PAIRS_AT_ONCE: Final = 4096
"""Pairs that are tokens at one time: about 50 MB of pairs of 1,200 characters."""
KEPT: Final = 200_000
"""Pairs whose logits are remembered: about 40 MB."""
ADAPTERS: Final = Path(__file__).parent / "heads"
TARGETS: Final = ("query", "key", "value", "dense")
"""The linear layers of a BERT block that carry LoRA factors."""

Logits = NDArray[np.float32]


class PairReader(Protocol):
    """Gives the logits (n, k) of n pairs of texts."""

    @property
    def digest(self) -> str:
        """Hex sha256 of the weights."""
        ...

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        """Return the logits of each pair."""
        ...


class CrossEncoder:
    """Logits for pairs of texts; a pair's logits do not depend on its batch.

    In bf16 they do by rounding: some processors multiply few rows by another kernel
    (up to 0.003 on one with AMX).
    The last KEPT pairs are remembered by the digest of their texts: rows repeat what
    other rows say. Safe to call from several threads.
    """

    def __init__(
        self, model: Any, tokenizer: Any, output: torch.nn.Linear, *, digest: str
    ) -> None:
        self.digest = digest
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._output = output.eval()
        self._device = next(model.parameters()).device
        self._bf16 = supports_bf16(self._device)
        self._kept: OrderedDict[bytes, Logits] = OrderedDict()
        self._lock = threading.Lock()

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        """Return (n, k): the adapter's k logits for each pair.

        A pair longer than MAX_TOKENS loses tokens of its longer text: cut long texts
        into windows first.
        """
        keys = [_key(*pair) for pair in pairs]
        with self._lock:
            known = {k: self._kept[k] for k in keys if k in self._kept}
            for key in known:
                self._kept.move_to_end(key)
        fresh = {k: p for k, p in zip(keys, pairs, strict=True) if k not in known}
        read = dict(zip(fresh, self._read(list(fresh.values())), strict=True))
        with self._lock:
            self._kept |= read
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        known |= read
        if not keys:
            return np.zeros((0, self._output.out_features), np.float32)
        return np.stack([known[key] for key in keys])

    def _read(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        """Read slices of PAIRS_AT_ONCE, each in batches of one padded length."""
        found = np.zeros((len(pairs), self._output.out_features), np.float32)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            found[part] = self._read_slice(pairs[part])
        return found

    def _read_slice(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        ids = [encode_pair(self._tokenizer, *pair) for pair in pairs]
        found = np.zeros((len(pairs), self._output.out_features), np.float32)
        for batch in length_batches([len(i) for i, _ in ids]):
            found[batch] = self._forward([ids[i] for i in batch])
        return found

    def _forward(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Logits:
        features = pad_pairs(pairs, self._tokenizer.pad_token_id or 0)
        features = {k: v.to(self._device) for k, v in features.items()}
        with torch.inference_mode(), self._precision():
            states = self._model(**features).last_hidden_state
        pooled = mean_pool(states.float(), features["attention_mask"])
        with torch.inference_mode():
            return np.asarray(self._output(pooled).cpu().numpy(), np.float32)

    def _precision(self) -> AbstractContextManager[object]:
        return bf16_where(self._device, self._bf16)


def _key(one: str, other: str) -> bytes:
    """Digest of a pair; the length of the first keeps ("ab", "c") from ("a", "bc")."""
    text = f"{len(one)}:{one}{other}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def encode_pair(
    tokenizer: Any, request: str, reply: str
) -> tuple[list[int], list[int]]:
    """Token ids and segment ids of [CLS] request [SEP] reply [SEP]."""
    coded = tokenizer(
        SURROGATES.sub("\ufffd", request),
        SURROGATES.sub("\ufffd", reply),
        truncation="longest_first",
        max_length=MAX_TOKENS,
        return_token_type_ids=True,
    )
    return coded["input_ids"], coded["token_type_ids"]


def pad_pairs(
    pairs: Sequence[tuple[list[int], list[int]]], pad: int
) -> dict[str, torch.Tensor]:
    """Model inputs (b, t) of pairs, t the longest of them up to a LENGTH_STEP."""
    width = padded(max(len(ids) for ids, _ in pairs))
    shape = (len(pairs), width)
    ids = torch.full(shape, pad)
    kinds, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
    for row, (tokens, segments) in enumerate(pairs):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        kinds[row, : len(tokens)] = torch.tensor(segments)
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "token_type_ids": kinds, "attention_mask": mask.long()}


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real tokens: (b, t, d) and (b, t) -> (b, d)."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)


def load_cross_encoder(name: str, *, directory: Path = ADAPTERS) -> CrossEncoder:
    """Load the built-in MiniLM, add the adapter's deltas, check both digests.

    Raises ModelError where a file is missing, DigestMismatch where weights are not the
    recorded ones.
    """
    try:
        content = (directory / f"{name}.safetensors").read_bytes()
        record = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {name} cannot be read ({error})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != record["sha256"]:
        raise DigestMismatch(
            f"adapter {name}: weights have sha256 {digest}, its record says "
            f"{record['sha256']}; restore both files or train it again"
        )
    return cross_encoder(content, record)


def cross_encoder(
    content: bytes, record: Mapping[str, Any], *, device: str = "cpu"
) -> CrossEncoder:
    """Return the reader of an adapter's safetensors and record; equal ones are shared.

    A reader keeps nothing but what it has read, so every detector of a process can use
    the same one.
    """
    return _build(content, float(record["lora_scale"]), device)


def forget_readers() -> None:
    """Build readers anew from now on, with nothing read: for measurements."""
    _build.cache_clear()


@lru_cache(maxsize=4)
def _build(content: bytes, scale: float, device: str) -> CrossEncoder:
    model, tokenizer = load_minilm()
    tensors = {k: v.float() for k, v in load(content).items()}
    _merge(model, tensors, scale=scale)
    outputs, width = tensors["output.weight"].shape
    output = torch.nn.Linear(width, outputs)
    output.load_state_dict(
        {"weight": tensors["output.weight"], "bias": tensors["output.bias"]}
    )
    digest = hashlib.sha256(content).hexdigest()
    return CrossEncoder(model.to(device), tokenizer, output.to(device), digest=digest)


def load_minilm() -> tuple[Any, Any]:
    """Load the bare MiniLM and its tokenizer; DigestMismatch where it is another."""
    from transformers import AutoModel, AutoTokenizer

    directory = builtin_directory()
    if weights_digest(directory) != BUILTIN_SHA256:
        raise DigestMismatch("the built-in encoder is not the pinned one: reinstall it")
    kind: Any = AutoModel
    with _quiet():  # the checkpoint has a pooler that is of no use here
        # A local folder: there is no revision to pin.
        model = kind.from_pretrained(  # nosec B615
            str(directory), add_pooling_layer=False
        )
    return model, AutoTokenizer.from_pretrained(str(directory))  # nosec B615


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' report of unused weights from the user's terminal."""
    logger = logging.getLogger("transformers.modeling_utils")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _merge(model: Any, tensors: dict[str, torch.Tensor], *, scale: float) -> None:
    """Add B @ A of every adapted layer to its weight (Hu et al., arXiv 2106.09685)."""
    with torch.no_grad():
        for key, a in tensors.items():
            layer, mark, _ = key.rpartition(".A")
            if mark:
                weight = model.get_submodule(layer).weight
                weight += scale * (tensors[f"{layer}.B"] @ a)
