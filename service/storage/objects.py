"""The object store: uploads, checkpoints and reports under keys, by fsspec."""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from fsspec.core import url_to_fs

from detectors.errors import InputError
from service.storage.sealing import Seal

ATTEMPTS: Final = 7
BLOCK_BYTES: Final = 1024 * 1024
FIRST_WAIT_SECONDS: Final = 0.5
"""Waits double: a store that is away for half a minute is waited for."""

CLIENTS: Final = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google")
"""Packages that talk to buckets, and do not all raise OSError when one is away."""

EXTRAS: Final = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az"}
"""What to install for the protocol of a URL."""


Result = TypeVar("Result")


class StoreUnavailable(Exception):
    """The object store did not answer, however often it was asked."""


class ObjectStore:
    """Bytes under keys such as "datasets/9f...". Safe to use from several threads.

    `url` is a folder (`file:///path`, a bare path) or a bucket (`s3://bucket/prefix`).
    InputError where it cannot be opened. A key that is missing is FileNotFoundError; a
    store that fails is asked again, then StoreUnavailable.
    """

    def __init__(
        self,
        url: str,
        *,
        seal: Seal | None = None,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        try:
            # No listings kept: other processes write and remove objects meanwhile.
            self._fs, self._root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            extra = EXTRAS.get(url.split(":")[0], "")
            hint = f"pip install 'tunegate[{extra}]'" if extra else "not a known scheme"
            raise InputError(f"setting TUNEGATE_STORAGE_URL: {hint}") from error
        self._seal = seal
        self._first_wait_seconds = first_wait_seconds
        self._local = "file" in _protocols(self._fs)
        if self._local:
            Path(self._root).mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path | None:
        """The folder on this machine's disk; None where it is elsewhere."""
        return Path(self._root) if self._local else None

    def put(self, key: str, content: bytes) -> None:
        """Write an object whole: nobody reads half of it, also after a crash."""
        kept = content if self._seal is None else self._seal.seal(content)

        def write() -> None:
            if not self._local:
                self._fs.pipe_file(self._path(key), kept)
                return
            path = self._make_room(self._path(key))
            fresh = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
            with fresh.open("wb") as file:
                file.write(kept)
                _settle(file)
            fresh.replace(path)

        self._again(write)

    @contextmanager
    def writing(self, key: str) -> Iterator[Any]:
        """Give a file to write an object to; it may be seen half-written."""
        path = self._path(key)
        if self._local:
            self._make_room(path)
        try:
            with self._fs.open(path, "wb") as file:
                if self._seal is None:
                    yield file
                else:
                    sealed = self._seal.writer(file)
                    yield sealed
                    sealed.finish()
                if self._local:
                    _settle(file)
        except Exception as error:
            if isinstance(error, OSError) or not _of_the_store(error):
                raise
            raise OSError(type(error).__name__) from error

    def get(self, key: str) -> bytes:
        """Return an object whole."""

        def read() -> bytes:
            content: bytes = self._fs.cat_file(self._path(key))
            return content

        kept = self._again(read)
        return kept if self._seal is None else self._seal.open(kept)

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""

        def look() -> bool:
            if not self._missing():
                raise NotADirectoryError(self._root)
            try:  # `isfile` calls a store that does not answer a missing file
                return bool(self._fs.info(self._path(key))["type"] == "file")
            except FileNotFoundError:
                return False

        return self._again(look)

    def move(self, source: str, target: str) -> None:
        """Give an object another key."""
        here, there = self._path(source), self._path(target)

        def move() -> None:
            if self._local:
                os.replace(here, self._make_room(there))
            else:
                self._fs.mv(here, there)

        try:
            self._again(move)
        except FileNotFoundError:
            if not self.exists(target):  # else an answer was lost, not the object
                raise

    def probe(self) -> None:
        """Write, read and remove a small object, once; some error where that fails."""
        path = self._path(f"probes/{secrets.token_hex(8)}")
        said = secrets.token_bytes(16)
        if self._local:
            self._make_room(path)
        self._fs.pipe_file(path, said)
        try:
            if self._fs.cat_file(path) != said:
                raise OSError("the object store gives back other bytes than it took")
        finally:
            self._fs.rm_file(path)

    def delete(self, key: str) -> None:
        """Remove an object, or all below a key; nothing where there is none."""

        def remove() -> None:
            try:
                self._fs.invalidate_cache()
                self._fs.rm(self._path(key), recursive=True)
            except FileNotFoundError:
                return

        self._again(remove)

    def keys(self, folder: str) -> list[str]:
        """Return the keys of all objects below a folder."""

        def find() -> list[str]:
            self._fs.invalidate_cache()
            found = self._fs.find(self._path(folder))
            return sorted(str(path)[len(self._root) :].lstrip("/") for path in found)

        return self._again(find)

    @contextmanager
    def as_file(self, key: str) -> Iterator[Path]:
        """Give the path of a local file with the object's bytes; not to be changed.

        Of a sealed object it is a copy in the clear, private to this user, for a while.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(self._path(key))
            if not self._local:
                path = Path(folder) / "object"
                self._again(lambda: self._fs.get_file(self._path(key), str(path)))
            elif not self.exists(key):
                raise FileNotFoundError(key)
            if self._seal is not None:
                path = _unsealed(self._seal, path, Path(folder) / "clear")
            yield path

    def _path(self, key: str) -> str:
        if any(part in ("", ".", "..") for part in key.split("/")):
            raise ValueError(f"not a key: {key!r}")
        return f"{self._root}/{key}"

    def _make_room(self, path: str) -> Path:
        """Make the folder of a file, within the store's own, which must be there.

        Where it is not, a disk is away: to make it anew would hide that.
        """
        if not Path(self._root).is_dir():
            raise NotADirectoryError(self._root)
        found = Path(path)
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def _missing(self) -> bool:
        """Whether a key that is not found is missing, and not the whole store away."""
        return not self._local or Path(self._root).is_dir()

    def _again(self, act: Callable[[], Result]) -> Result:
        wait = self._first_wait_seconds
        for attempt in range(ATTEMPTS):
            try:
                return act()
            except Exception as error:
                missing = isinstance(error, FileNotFoundError) and self._missing()
                if missing or not _of_the_store(error):
                    raise
                if attempt == ATTEMPTS - 1:
                    said = f"the object store failed: {type(error).__name__}"
                    raise StoreUnavailable(said) from error
                time.sleep(wait)
                wait *= 2
        raise AssertionError("unreachable")


def _unsealed(seal: Seal, source: Path, target: Path) -> Path:
    with source.open("rb") as sealed, target.open("wb") as clear:
        blocks = iter(lambda: sealed.read(BLOCK_BYTES), b"")
        clear.writelines(seal.opened(blocks))
    return target


def _of_the_store(error: Exception) -> bool:
    """Whether an error is the store's: a bucket's client has errors of its own."""
    return isinstance(error, OSError) or type(error).__module__.startswith(CLIENTS)


def _protocols(fs: Any) -> tuple[str, ...]:
    protocol = fs.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _settle(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
