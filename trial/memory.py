"""Memory: what a trial has done so far, kept where it outlives the process."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol


class Memory(Protocol):
    """Bytes by name, of one trial."""

    def get(self, name: str) -> bytes | None:
        """Return what was put under a name; None where nothing was."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Keep `content`, whole or not at all."""
        ...


class Forgetful:
    """Keeps nothing: a trial that is cut off begins anew."""

    def get(self, name: str) -> bytes | None:
        """Return None."""
        return None

    def put(self, name: str, content: bytes) -> None:
        """Keep nothing."""


FORGETFUL: Final = Forgetful()


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a memory; its name stands for all that its content depends on."""

    memory: Memory = FORGETFUL
    name: str = ""

    def get(self) -> bytes | None:
        """Return what is there, None where nothing is."""
        return self.memory.get(self.name)

    def put(self, content: bytes) -> None:
        """Keep `content` there."""
        self.memory.put(self.name, content)

    def texts(self, count: int, make: Callable[[], Sequence[str]]) -> list[str]:
        """Return the `count` texts that are there, else those that `make()` gives now.

        What is there and is no list of so many texts is made anew.
        """
        kept = self.get()
        if kept is not None:
            found = json.loads(kept)
            if isinstance(found, list) and len(found) == count:
                return [str(text) for text in found]
        made = list(make())
        self.put(json.dumps(made).encode("ascii"))
        return made


def digest(*parts: object) -> str:
    """Return a short name for all that something depends on."""
    return sha256(repr(parts).encode()).hexdigest()[:32]
