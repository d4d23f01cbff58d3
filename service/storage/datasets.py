"""Datasets as uploaded: kept once, under the SHA-256 of their bytes."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from detectors.dataset import Dataset
from detectors.errors import DatasetError
from detectors.reader import Limits, read_dataset, read_rows
from service.storage.database import reading
from service.storage.objects import ObjectStore, StoreUnavailable
from service.storage.tables import DATASETS, SCREENINGS

BLOCK_BYTES: Final = 1024 * 1024
MAX_INCOMING_SECONDS: Final = 24 * 3600.0
"""An upload that is older and still not accepted never will be."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes that have arrived and that no screening holds yet; `key` is their object.

    `key` is "" where they are an earlier screening's, too. `form` is "file", or "rows"
    for rows given as JSON.
    """

    key: str
    digest: str
    size_bytes: int
    form: str


@dataclass(frozen=True, slots=True)
class Link:
    """A dataset that is still to be fetched.

    The URL may hold a signature that opens a bucket: nothing repeats it.
    """

    url: str = field(repr=False)


Given = Upload | Link
"""What a screening is asked for: bytes that are here, or where they are."""


class Incoming:
    """An upload that arrives: write it block by block, then close or abort it.

    StoreUnavailable where the store fails, its disk being full included.
    """

    def __init__(self, objects: ObjectStore, key: str, form: str) -> None:
        self.size_bytes = 0
        self._objects = objects
        self._key = key
        self._form = form
        self._digest = hashlib.sha256()
        self._open = ExitStack()
        with self._named():
            self._file: IO[bytes] = self._open.enter_context(objects.writing(key))

    def write(self, block: bytes) -> None:
        """Take the next bytes."""
        with self._named():
            self._file.write(block)
        self._digest.update(block)
        self.size_bytes += len(block)

    def close(self) -> Upload:
        """Return the upload, now that it is whole."""
        with self._named():
            self._open.close()
        return Upload(self._key, self._digest.hexdigest(), self.size_bytes, self._form)

    def abort(self) -> None:
        """Remove what has arrived."""
        with suppress(OSError):
            self._open.close()
        self._objects.delete(self._key)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = f"the object store failed: {type(error).__name__}"
            raise StoreUnavailable(said) from error


class Datasets:
    """Uploads in the object store, and the rows of `datasets` that list them.

    `claim` and `release` hold the row of the dataset until the caller's transaction
    ends, so that what one screening deletes is never what another just claimed.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @property
    def folder(self) -> Path | None:
        """The folder on this machine's disk; None where they are elsewhere."""
        return self._objects.folder

    def incoming(self, form: str = "file") -> "Incoming":
        """Return where an upload can be written to, block by block."""
        key = f"incoming/{int(time.time())}-{secrets.token_hex(8)}"
        return Incoming(self._objects, key, form)

    def receive(self, source: IO[bytes], *, form: str = "file") -> Upload:
        """Copy a stream to the store, block by block."""
        incoming = self.incoming(form)
        try:
            while block := source.read(BLOCK_BYTES):
                incoming.write(block)
            return incoming.close()
        except BaseException:
            incoming.abort()
            raise

    def claim(self, connection: Connection, given: Given, at: str) -> None:
        """Put an upload under its digest, in the transaction that refers to it.

        DatasetError where it is an earlier one that was deleted meanwhile. Of a link
        there is nothing to claim.
        """
        if isinstance(given, Link):
            return
        _hold(connection, given.digest, given.size_bytes, at)
        key = dataset_key(given.digest)
        if self._objects.exists(key):
            self.discard(given)
        elif not given.key:
            raise DatasetError("the dataset is no longer stored")
        else:
            self._objects.move(given.key, key)

    def release(self, connection: Connection, digest: str) -> None:
        """Remove the bytes where no screening refers to them any more."""
        _hold(connection, digest)
        users = select(func.count()).where(SCREENINGS.c.dataset == digest)
        if not connection.execute(users).scalar_one():
            self._objects.delete(dataset_key(digest))
            connection.execute(delete(DATASETS).where(DATASETS.c.digest == digest))

    def discard(self, given: Given) -> None:
        """Forget an upload that was not claimed."""
        if isinstance(given, Upload) and given.key:
            self._objects.delete(given.key)

    def sweep(self, engine: Engine, now: float) -> None:
        """Remove what was left by processes that died before they had accepted it."""
        for key in self._objects.keys("incoming"):
            began = key.split("/")[-1].split("-")[0]
            if began.isdecimal() and now - int(began) > MAX_INCOMING_SECONDS:
                self._objects.delete(key)
        stored = {key.split("/")[-1] for key in self._objects.keys("datasets")}
        with reading(engine).connect() as connection:
            listed = set(connection.execute(select(DATASETS.c.digest)).scalars())
        for digest in sorted(stored - listed):
            with engine.begin() as connection:
                self.release(connection, digest)

    @contextmanager
    def path(self, digest: str) -> Iterator[Path]:
        """Give a local file with the bytes; DatasetError where they are gone."""
        try:
            with self._objects.as_file(dataset_key(digest)) as path:
                yield path
        except FileNotFoundError as error:
            raise DatasetError("the dataset is no longer stored") from error

    def read(
        self,
        digest: str,
        *,
        form: str,
        name: str,
        limits: Limits,
        watch: Callable[[], None] = lambda: None,
    ) -> Dataset:
        """Read a dataset; DatasetError as `read_dataset` raises it.

        Its digest and size are those under which it is kept, of rows too. `watch` is
        called between some thousand rows, and may end the reading.
        """
        with self.path(digest) as path:
            if form == "rows":
                rows = json.loads(path.read_text("utf-8"))
                found = read_rows(rows, name=name, limits=limits, watch=watch)
                size = path.stat().st_size
                return replace(found, sha256=digest, size_bytes=size)
            return read_dataset(path, limits=limits, name=name, watch=watch)


def _hold(
    connection: Connection, digest: str, size_bytes: int = 0, at: str = ""
) -> None:
    """List a dataset if need be, and keep its row until the transaction ends.

    Whoever holds the row now may be about to remove it, and is waited for: an update
    that changes nothing waits for the row, and where it has gone the dataset is listed
    anew. SQLite's transactions hold the whole database.
    """
    row = {"digest": digest, "size_bytes": size_bytes, "created_at": at}
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = kind.insert(DATASETS).values(**row)
    same = {"digest": insert.excluded.digest}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["digest"], set_=same)
    )


def dataset_key(digest: str) -> str:
    """Return the key of a dataset's bytes."""
    return f"datasets/{digest}"
