"""Reads a request and its reply together: MiniLM with a LoRA adapter and three outputs.

A bi-encoder sees request and reply apart; what a reply does with its request only shows
where both are read at once (cross-encoder, as in Nogueira and Cho, arXiv 1901.04085).
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from detectors.embedding import (
    BUILTIN_SHA256,
    SURROGATES,
    builtin_directory,
    length_batches,
    padded,
    supports_bf16,
    weights_digest,
)
from detectors.errors import DigestMismatch, ModelError

OUTPUTS: Final = ("harmful", "asks_harm", "complies")
MAX_TOKENS: Final = 512
ADAPTERS: Final = Path(__file__).parent / "heads"
TARGETS: Final = ("query", "key", "value", "dense")
"""The linear layers of a BERT block that carry LoRA factors."""

Logits = NDArray[np.float32]


class CrossEncoder:
    """Logits for pairs of texts; a pair's logits do not depend on its batch.

    In bf16 they do by rounding: some processors multiply few rows by another kernel
    (up to 0.003 on one with AMX).
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

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        """Return (n, 3): one logit a name of OUTPUTS for each (request, reply).

        A pair longer than MAX_TOKENS loses tokens of its longer text: cut long texts
        into windows first.
        """
        ids = [encode_pair(self._tokenizer, *pair) for pair in pairs]
        found = np.zeros((len(pairs), len(OUTPUTS)), np.float32)
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
        if not self._bf16:
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)


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


def load_cross_encoder(
    name: str, *, directory: Path = ADAPTERS, device: str = "cpu"
) -> CrossEncoder:
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
    return cross_encoder(content, record, device=device)


def cross_encoder(
    content: bytes, record: Mapping[str, Any], *, device: str = "cpu"
) -> CrossEncoder:
    """Return the reader of an adapter's safetensors and record; equal ones are shared.

    A reader keeps no state, so every detector of a process can use the same one.
    """
    return _build(content, float(record["lora_scale"]), device)


@lru_cache(maxsize=2)
def _build(content: bytes, scale: float, device: str) -> CrossEncoder:
    model, tokenizer = load_minilm()
    tensors = {k: v.float() for k, v in load(content).items()}
    _merge(model, tensors, scale=scale)
    output = torch.nn.Linear(model.config.hidden_size, len(OUTPUTS))
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
