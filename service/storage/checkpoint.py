"""Checkpoints: what a step made, as JSON in the object store; never a pickle.

They hold excerpts of rows, so they lie in the screening's folder and go with it. The
database of the queue sees their keys alone.
"""

import json
from typing import Final, TypeVar

from cattrs import Converter

from detectors.errors import InputError
from service.storage.objects import ObjectStore

CONVERTER: Final = Converter(detailed_validation=False)

Made = TypeVar("Made")


class OtherVersion(InputError):
    """A screening was left by another version, or damaged: this one cannot read it."""

    code = "unreadable_checkpoint"

    def __init__(self, screening_id: str) -> None:
        said = f"what screening {screening_id} left is of another version of Tunegate"
        super().__init__(f"{said}, or damaged: screen its dataset again")


class Checkpoints:
    """The checkpoints and the report of one screening."""

    def __init__(self, objects: ObjectStore, screening_id: str) -> None:
        self._objects = objects
        self._id = screening_id
        self._folder = screening_folder(screening_id)

    def put(self, name: str, made: object) -> None:
        """Keep a record made of dataclasses, tuples, numbers and text."""
        plain = CONVERTER.unstructure(made)
        # ASCII: text with lone surrogates survives; NaN and infinity are kept too.
        self._objects.put(self._key(name), json.dumps(plain).encode("ascii"))

    def get(self, name: str, kind: type[Made]) -> Made:
        """Return a record as it was put; FileNotFoundError where there is none.

        OtherVersion where it is no JSON, or of another form.
        """
        kept = self._objects.get(self._key(name))
        try:
            return CONVERTER.structure(json.loads(kept), kind)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise OtherVersion(self._id) from error

    def clear(self) -> None:
        """Remove them all."""
        self._objects.delete(self._folder)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}.json"


class TrialMemory:
    """What a trial has done so far: adapter states and replies, in the same folder.

    Safetensors and JSON, as `trial.memory.Memory` has it; removed once the trial is
    over.
    """

    def __init__(self, objects: ObjectStore, screening_id: str) -> None:
        self._objects = objects
        self._folder = f"{screening_folder(screening_id)}/trial"

    def get(self, name: str) -> bytes | None:
        """Return what was put under a name; None where nothing was."""
        try:
            return self._objects.get(f"{self._folder}/{name}")
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep `content`, whole or not at all."""
        self._objects.put(f"{self._folder}/{name}", content)

    def clear(self) -> None:
        """Remove it all."""
        self._objects.delete(self._folder)


def screening_folder(screening_id: str) -> str:
    """Return the folder of all that a screening leaves, its dataset apart."""
    return f"screenings/{screening_id}"


def report_key(screening_id: str, digest: str) -> str:
    """Return the key of a report. Two runs of a step make two reports, one listed."""
    return f"{screening_folder(screening_id)}/report-{digest[:16]}.json"
