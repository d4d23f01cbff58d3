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
        found = None if kept is None else _read_texts(kept)
        if found is not None and len(found) == count:
            return found
        made = list(make())
        self.put(json.dumps(made).encode("ascii"))
        return made


def _read_texts(content: bytes) -> list[str] | None:
    """Return the texts of a JSON list; None where it is no such list, as if damaged."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    texts = isinstance(found, list) and all(isinstance(text, str) for text in found)
    return found if texts else None


def digest(*parts: object) -> str:
    """Return a short name for all that something depends on."""
    return sha256(repr(parts).encode()).hexdigest()[:32]
