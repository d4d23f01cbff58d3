"""URLs that are to be fetched: sealed, and gone with whatever ends them."""

import hashlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from service.caller import OPEN
from service.jobs.backend import Backend, open_backend
from service.policy import Policy
from service.settings import Settings
from service.storage.database import reading
from service.storage.datasets import Link, Upload
from service.storage.links import Links
from service.storage.once import Once
from service.storage.screening import Fault, Order, request_digest
from service.storage.sealing import Seal, Unsealable
from service.storage.tables import SCREENINGS
from trial.recipe import Recipe

URL = "https://data.example.com/a.jsonl?signature=secret"
ORDER = Order("a.jsonl", Policy(), Recipe(), run_trial=False)
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ROWS = b'{"prompt": "a", "completion": "b"}\n'


@pytest.fixture
def sealed(database_url: str, tmp_path: Path) -> Iterator[Backend]:
    made = open_backend(
        Settings(database_url=database_url, data_dir=tmp_path, encryption_keys=KEY)  # type: ignore[arg-type]  # pydantic makes it a secret
    )
    yield made
    made.close()


def accept(backend: Backend) -> str:
    return backend.accept(ORDER, Link(URL), OPEN).id


def column(backend: Backend, screening: str) -> bytes | None:
    asked = select(SCREENINGS.c.source).where(SCREENINGS.c.id == screening)
    with reading(backend.engine).connect() as connection:
        found: bytes | None = connection.execute(asked).scalar_one()
        return found


def receive(backend: Backend) -> Upload:
    return backend.store.datasets.receive(BytesIO(ROWS))


def queued(backend: Backend) -> dict[str, int]:
    with reading(backend.engine).connect() as connection:
        depth = backend.queues.depth(connection)
    return {queue: count for (queue, state), count in depth.items() if count}


def test_a_url_is_sealed_and_read_with_the_key_alone(sealed: Backend) -> None:
    screening = accept(sealed)
    kept = column(sealed, screening)
    assert kept is not None
    assert b"secret" not in kept
    assert b"example" not in kept
    assert sealed.store.links.get(screening) == Link(URL)
    other = Links(sealed.engine, sealed.store.datasets, Seal([bytes(32)]))
    with pytest.raises(Unsealable):
        other.get(screening)


def test_without_a_key_it_is_kept_as_the_secrets_of_webhooks_are(
    backend: Backend,
) -> None:
    screening = accept(backend)
    assert column(backend, screening) == URL.encode()
    assert backend.store.links.get(screening) == Link(URL)


def test_a_link_shows_its_url_to_nobody() -> None:
    assert "secret" not in repr(Link(URL))


def test_a_screening_has_its_dataset_once(backend: Backend) -> None:
    screening, links = accept(backend), backend.store.links
    assert queued(backend) == {"ingest": 1}
    assert links.settle(screening, receive(backend), backend.queues)
    assert (links.get(screening), column(backend, screening)) == (None, None)
    assert queued(backend) == {"ingest": 1, "detect": 1}
    job = backend.store.job(screening)
    assert job is not None
    assert job.dataset == hashlib.sha256(ROWS).hexdigest()
    # A second fetch, of a process that was taken for dead, changes nothing.
    other = backend.store.datasets.receive(BytesIO(b"other"))
    assert not links.settle(screening, other, backend.queues)
    assert backend.store.objects.keys("incoming") == []
    assert backend.store.objects.keys("datasets") == [f"datasets/{job.dataset}"]
    assert queued(backend) == {"ingest": 1, "detect": 1}


ENDS: dict[str, Callable[[Backend, str], object]] = {
    "cancelled": lambda backend, screening: backend.cancel(screening, OPEN),
    "failed": lambda backend, screening: backend.store.fail(screening, Fault("x", "y")),
    "deleted": lambda backend, screening: backend.delete(screening, OPEN),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_a_screening_takes_its_url(backend: Backend, end: str) -> None:
    screening = accept(backend)
    assert ENDS[end](backend, screening)
    assert column(backend, screening) is None
    assert backend.store.links.get(screening) is None
    assert not backend.store.links.settle(screening, receive(backend), backend.queues)
    for folder in ("incoming", "datasets"):
        assert backend.store.objects.keys(folder) == []
    assert "detect" not in queued(backend)


def test_one_that_cannot_be_queued_keeps_its_url_and_is_fetched_again(
    backend: Backend,
) -> None:
    class Broken:
        def enqueue(self, connection: Connection, screening_id: str, *_: str) -> None:
            raise OSError("gone")

        enqueue_ingest = enqueue

    screening, upload = accept(backend), receive(backend)
    with pytest.raises(OSError, match="gone"):
        backend.store.links.settle(screening, upload, Broken())
    assert backend.store.links.get(screening) == Link(URL)


def test_a_batch_has_uploads_and_links(backend: Backend) -> None:
    given: list[Any] = [(ORDER, receive(backend)), (ORDER, Link(URL))]
    batch = backend.accept_batch("b", given, OPEN, Once("once", "a"))
    first, second = backend.batches(OPEN).screenings(batch.id)
    links = backend.store.links
    assert (links.get(first), links.get(second)) == (None, Link(URL))
    given = [(ORDER, receive(backend)), (ORDER, Link(URL))]
    assert backend.accept_batch("b", given, OPEN, Once("once", "a")).id == batch.id
    assert queued(backend) == {"ingest": 1, "detect": 1}


def test_the_digest_of_a_request_is_of_the_url_and_tells_it_to_nobody() -> None:
    digest = request_digest(ORDER, Link(URL))
    assert digest == request_digest(ORDER, Link(URL))
    assert digest != request_digest(ORDER, Link(URL + "x"))
    assert len(digest) == 64
