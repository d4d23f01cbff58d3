"""Running out of memory: how it is told apart, and what may do without."""

from collections.abc import Callable
from typing import Final, TypeVar

import torch

T = TypeVar("T")

OUT_OF_MEMORY: Final = (
    "the trial ran out of memory: lower batch_size or max_tokens, or take a smaller "
    "base model"
)
FAILURES: Final = (torch.OutOfMemoryError, MemoryError, RuntimeError)
"""What running out of memory may be raised as, see `is_exhaustion`."""


def is_exhaustion(error: BaseException) -> bool:
    """Say whether an error is that memory ran out.

    The CPU allocator has no exception class of its own.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def if_memory(step: Callable[[], T]) -> T | None:
    """Take a step that decides nothing; None where memory runs out in it."""
    try:
        return step()
    except FAILURES as error:
        if not is_exhaustion(error):
            raise
        return None
