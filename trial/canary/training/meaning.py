"""What MiniLM's sentence embedding says of each prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from detectors.embedding import load_encoder

CHARACTERS: Final = 500
AT_ONCE: Final = 4096


def meanings_of(prompts: Sequence[str], saved: Path) -> torch.Tensor:
    """Give unit vectors (n, d), fp16, of the first CHARACTERS of each prompt, in order.

    They are read from `saved` where that file exists, and written there where not.
    Raises ValueError where the file has another number of them.
    """
    if not saved.exists():
        encoder = load_encoder()
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found = torch.zeros(len(prompts), encoder.dimension, dtype=torch.float16)
        for at in range(0, len(order), AT_ONCE):
            chosen = order[at : at + AT_ONCE]
            vectors = encoder.encode([prompts[i][:CHARACTERS] for i in chosen])
            found[chosen] = torch.from_numpy(vectors).to(torch.float16)
        torch.save(found, saved)
    meanings: torch.Tensor = torch.load(saved, weights_only=True)
    if len(meanings) != len(prompts):
        raise ValueError(
            f"{saved} has {len(meanings)} meanings for {len(prompts)} prompts: it is "
            "of another pool; remove it"
        )
    return meanings
