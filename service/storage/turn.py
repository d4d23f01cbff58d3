"""A lock whose waiters get it in the order in which they came."""

import threading
from collections import deque
from types import TracebackType


class Turn:
    """Mutual exclusion between threads, first come first served.

    `threading.Lock` gives no order: where twenty clients always wait, the unlucky one
    waits for several rounds of all the others. Not to be entered twice by one thread.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        """Wait until all who came before are done."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the next one in; it is taken over without being free between."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
