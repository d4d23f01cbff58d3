"""An object store that can be taken away: files on disk, asked as a bucket is."""

from pathlib import Path
from typing import Any

from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem

ASKED = ("cat_file", "pipe_file", "_open", "info", "mv", "rm", "rm_file", "get_file")


class EndpointConnectionError(Exception):
    """What the client of a bucket raises: no OSError."""


EndpointConnectionError.__module__ = "botocore.exceptions"


class FlakyFileSystem(LocalFileSystem):
    """Fails as a network does while a file named "away" lies beside its objects."""

    protocol = "flaky"

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ASKED:
            return found

        def asked(path: str, *rest: Any, **named: Any) -> Any:
            if any((each / "away").exists() for each in Path(path).parents):
                raise EndpointConnectionError("the store does not answer")
            if name in ("pipe_file", "_open", "mv"):
                target = rest[0] if name == "mv" else path
                Path(target).parent.mkdir(parents=True, exist_ok=True)
            return found(path, *rest, **named)

        return asked

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("flaky://"))


def register() -> None:
    """Make `flaky:///folder` a storage URL of this process."""
    register_implementation("flaky", FlakyFileSystem, clobber=True)
