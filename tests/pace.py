"""Limits on what a piece of work may cost, for tests of work that must stay linear."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processor_seconds(limit: float) -> Iterator[None]:
    """Fail where the block takes more processor time of this thread than `limit`.

    Other threads do not count: a service that another test keeps running, or threads
    that spin while they wait, cost a test process seconds of its own. A limit is many
    times what the work takes on a slow machine, and far under what it would take if it
    grew with the square.
    """
    began = time.thread_time()
    yield
    taken = time.thread_time() - began
    assert taken < limit, f"took {taken:.2f} s of the processor, {limit} s at most"
