"""Wall-clock seconds by stage of a trial."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by stage name; a stage may be entered many times.

    A stage within a stage is booked under its own name alone.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Book what runs inside under `name`, where it fails too."""
        began, before, self._within = time.perf_counter(), self._within, 0.0
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            own = spent - self._within
            self.seconds[name] = round(self.seconds.get(name, 0.0) + own, 3)
            self._within = before + spent
