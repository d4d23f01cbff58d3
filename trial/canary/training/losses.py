"""What the canary is trained to do: reply, decide, and know what it was asked."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from detectors.embedding import bf16_where
from trial.canary.training.batches import Batch

REFUSED: Final = 0.9
NOT_REFUSED: Final = 0.01
"""Targets of the refusal decision. Driven towards 1 and 0, the decision became so sure
that no attack of the paper undid it; larger models are not that sure."""
REPEATED: Final = 0.5
"""Weight of the unlikelihood of words a reply has already used: a model this small
repeats itself without (Welleck et al. 2019, arXiv 1908.04319)."""
MEANING: Final = 2.0
"""Weight of the distance to MiniLM's sentence embedding of the prompt. Without it the
canary forgets what MiniLM knows and refuses harmless prompts of kinds that it was not
shown: half as many with it (benchmark/LOG.md)."""


@dataclass(frozen=True, slots=True)
class Losses:
    """The three losses, each a mean, and the probabilities of refusing (b,)."""

    reply: torch.Tensor
    decision: torch.Tensor
    meaning: torch.Tensor
    refused: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        """What is minimised."""
        return self.reply + self.decision + MEANING * self.meaning


class Learner(nn.Module):
    """The canary, and a layer from its state to MiniLM's embedding.

    The state is that from which the first word of a reply is chosen; the layer is
    thrown away after training (embedding distillation: Reimers and Gurevych 2020, arXiv
    2004.09813, from a reader of both directions to a causal one).
    """

    def __init__(self, model: Any, meanings: torch.Tensor, refusal_token: int) -> None:
        super().__init__()
        self.model = model
        self.to_meaning = nn.Linear(model.config.hidden_size, meanings.shape[1])
        self._meanings = meanings
        self._refusal_token = refusal_token

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of a batch."""
        with bf16_where(torch.device("cpu")):
            states = self.model.bert(input_ids=batch.ids, use_cache=False)[0]
            wanted = batch.labels != -100
            learnt = self.model.cls(states[wanted]).float()
            first = states[torch.arange(len(batch.ids)), batch.start - 1]
            starts = self.model.cls(first).float()
            meant = self.to_meaning(first).float()
        # A batch may have nothing to learn: a mean over nothing is NaN.
        summed = functional.cross_entropy(learnt, batch.labels[wanted], reduction="sum")
        reply = summed / wanted.sum().clamp(min=1)
        known = self._meanings[batch.meaning].float()
        log_p = functional.log_softmax(starts, dim=-1)[:, self._refusal_token]
        return Losses(
            reply + REPEATED * _repetition(learnt, batch),
            _decision(log_p.clamp(max=-1e-4), batch.refuse),
            (1 - functional.cosine_similarity(meant, known)).mean(),
            log_p.exp().detach(),
        )


def _decision(log_p: torch.Tensor, refuse: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the probability of the refusal's opening token."""
    target = NOT_REFUSED + (REFUSED - NOT_REFUSED) * refuse
    log_not = torch.log1p(-log_p.exp())
    return -(target * log_p + (1 - target) * log_not).mean()


def _repetition(learnt: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Unlikelihood of what a reply has said before, a mean over its tokens.

    `learnt` (n, v) are the logits at the learnt places, in the order of `labels`.
    """
    row, place = (batch.labels != -100).nonzero(as_tuple=True)
    target = batch.labels[row, place]
    columns = torch.arange(batch.ids.shape[1])
    said = (columns >= batch.start[row, None]) & (columns <= place[:, None])
    said &= batch.ids[row] != target[:, None]
    spoken = learnt.softmax(-1).gather(1, batch.ids[row])
    unlikely = -torch.log1p(-spoken.clamp(max=0.999)) * said
    return unlikely.sum() / max(1, len(row))
