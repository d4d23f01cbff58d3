"""Running out of memory: how it is told apart, and what may do without.

And how not to: a worker that is done with a trial holds what the next process may need.
"""

import ctypes
from collections.abc import Callable
from typing import Final, TypeVar

import torch

T = TypeVar("T")

OUT_OF_MEMORY: Final = (
    "the trial ran out of memory: lower batch_size or max_tokens, or take a smaller "
    "base model"
)
SIGNS: Final = (
    "can't allocate memory",  # the CPU's allocator
    "CUDA error: out of memory",  # the driver, outside torch's allocator
    "_STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN and the other libraries
)
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Options of mallopt(3), as malloc.h numbers them; their values are bytes."""
_SETTLED: Final = (2**25, 2**26)
"""Where glibc's own thresholds end up once blocks of that size have been freed."""

FAILURES: Final = (torch.OutOfMemoryError, MemoryError, RuntimeError)
"""What running out of memory may be raised as, see `is_exhaustion`."""


def is_exhaustion(error: BaseException) -> bool:
    """Say whether an error is that memory ran out.

    Only torch's own CUDA allocator has an exception class for it.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and any(sign in said for sign in SIGNS)


def if_memory(step: Callable[[], T]) -> T | None:
    """Take a step that decides nothing; None where memory runs out in it."""
    try:
        return step()
    except FAILURES as error:
        if not is_exhaustion(error):
            raise
        return None


def hold_on() -> None:
    """Have freed memory kept for the next step, where the C library is glibc.

    Else each step of a tune returns what the next one needs, and a tenth of its time
    goes into pages that the system clears again. `give_back` is its end.
    """
    _keep(2**30, 2**31 - 1)


def give_back() -> None:
    """Give what is free back to the system, where the C library keeps it (glibc).

    After a trial of the canary that is a gigabyte, after one of long rows several.
    """
    _keep(*_SETTLED)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _keep(mapped: int, trimmed: int) -> None:
    """Set from how many bytes on blocks are mapped alone and the heap is trimmed."""
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(_MMAP_THRESHOLD, mapped)
        option(_TRIM_THRESHOLD, trimmed)
