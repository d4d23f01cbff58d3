"""Token sequences as padded tensors, and the loss on what is to be learnt of them."""

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trial.base_model import BaseModel
from trial.chat import TokenSequence

IGNORED: Final = -100


@dataclass(frozen=True)
class Batch:
    """Right-padded ids (rows, tokens), and what is to be predicted.

    `targets` (rows, places) holds the next tokens at the places where any row has one
    to learn, IGNORED where a row has none. A large vocabulary costs more than the rest
    of a small model.
    """

    inputs: dict[str, Tensor]
    targets: Tensor

    @property
    def learnt(self) -> Tensor:
        """The tokens to be predicted (n), row by row."""
        return self.targets[self.kept]

    @property
    def kept(self) -> Tensor:
        """Whether there is a token to be learnt, (rows, places)."""
        return self.targets != IGNORED

    def logits(self, model: Any) -> Tensor:
        """Return a model's logits (n, vocabulary) for the tokens to be learnt.

        The head is given the states of these places alone, so that no row's padding,
        nor a place that another row learns, costs a vocabulary.
        """
        kept, gathered = self.kept, False

        def gather(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            nonlocal gathered
            states, *more = given
            if states.dim() != 3 or len(states) != len(kept):
                return None
            gathered = True
            return (states[:, : kept.shape[1]][kept][None], *more)

        head = model.get_output_embeddings()
        hook = nullcontext() if head is None else head.register_forward_pre_hook(gather)
        with hook:
            found: Tensor = model(**self.inputs).logits
        return found[0] if gathered else found[:, : kept.shape[1]][kept]

    def loss(self, logits: Tensor) -> Tensor:
        """Mean nats per trained token; logits (n, vocabulary)."""
        return cross_entropy(logits.float(), self.learnt)


def pad(sequences: Sequence[TokenSequence], base: BaseModel) -> Batch:
    """Pad on the right; attention is causal, so no token sees the padding.

    So the mask hides nothing: without one to apply, attention is fastest.
    """
    width = max(len(s.ids) for s in sequences)
    shape = (len(sequences), width)
    ids = torch.full(shape, int(base.tokenizer.pad_token_id or 0))
    labels = torch.full(shape, IGNORED)
    for row, sequence in enumerate(sequences):
        n = len(sequence.ids)
        ids[row, :n] = torch.tensor(sequence.ids)
        trained = torch.tensor(sequence.trained)
        labels[row, :n] = torch.where(trained, ids[row, :n], IGNORED)
    targets = labels[:, 1:]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "logits_to_keep" in inspect.signature(base.model.forward).parameters:
        places = (targets != IGNORED).any(0).nonzero().squeeze(1)
        targets = targets[:, places]
        inputs["logits_to_keep"] = places
    there = {name: value.to(base.device) for name, value in inputs.items()}
    return Batch(there, targets.to(base.device))
