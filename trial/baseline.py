"""Replies of untouched base models, kept because a service screens many datasets."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

KEPT: Final = 96
"""Blocks of replies kept, some six a baseline; one is a few hundred short texts."""

_lock = threading.Lock()
_replies: OrderedDict[tuple[str, ...], tuple[str, ...]] = OrderedDict()


def baseline_replies(
    key: tuple[str, ...], reply: Callable[[], list[str]]
) -> tuple[str, ...]:
    """Return the replies kept under `key`, else those that `reply()` gives now.

    `key` has to hold everything that the replies depend on: digests of the model and of
    the prompts as it reads them, the device and the generation settings.
    """
    with _lock:
        if key in _replies:
            _replies.move_to_end(key)
            return _replies[key]
    made = tuple(reply())
    with _lock:
        _replies[key] = made
        while len(_replies) > KEPT:
            _replies.popitem(last=False)
    return made


def forget_baselines() -> None:
    """Drop every kept baseline."""
    with _lock:
        _replies.clear()
