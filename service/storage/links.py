"""Links: the URLs of datasets that are still to be fetched, sealed, until they are.

A URL lies in the row of its screening, and goes in the very transaction in which that
has its dataset, ends or is deleted. It is sealed with the first of the service's keys;
where there is none it is kept as the secrets of webhooks are.
"""

from typing import Any, Final

from sqlalchemy import Engine, select, update

from service.storage.database import reading
from service.storage.datasets import Datasets, Given, Link, Upload
from service.storage.queue import Queue
from service.storage.screening import OVER, now
from service.storage.sealing import Seal
from service.storage.tables import SCREENINGS

S: Final = SCREENINGS.c


class Links:
    """What is to be fetched, by the ids of screenings, whosever they are."""

    def __init__(self, engine: Engine, datasets: Datasets, seal: Seal | None) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._datasets = datasets
        self._seal = seal

    def column(self, given: Given) -> dict[str, bytes]:
        """Return what the row of a screening holds of a link; nothing of an upload."""
        if not isinstance(given, Link):
            return {}
        url = given.url.encode()
        return {"source": url if self._seal is None else self._seal.seal(url)}

    def get(self, screening_id: str) -> Link | None:
        """Return what is to be fetched; None where nothing is, or not any more.

        Unsealable where no key of ours opens it.
        """
        asked = select(S.source).where(*_waiting(screening_id))
        with self._reading.connect() as connection:
            found = connection.execute(asked).scalar()
        if found is None:
            return None
        return Link((found if self._seal is None else self._seal.open(found)).decode())

    def settle(self, screening_id: str, upload: Upload, queue: Queue) -> bool:
        """Give a screening what was fetched, forget the URL, and queue it.

        All or nothing. False where nothing was to be fetched any more: the upload is
        gone then.
        """
        with self._engine.begin() as connection:
            # The screening before its dataset: in the order of a deletion's locks.
            taken = update(SCREENINGS).where(*_waiting(screening_id))
            taken = taken.values(source=None).returning(S.tenant, S.priority)
            found = connection.execute(taken).first()
            if found is not None:
                self._datasets.claim(connection, upload, now())
                row = update(SCREENINGS).where(S.id == screening_id)
                connection.execute(row.values(dataset=upload.digest))
                queue.enqueue(connection, screening_id, *found)
        if found is None:
            self._datasets.discard(upload)
        return found is not None


def _waiting(screening_id: str) -> tuple[Any, ...]:
    open_ = (S.status.notin_(OVER), S.deleted_at.is_(None))
    return (S.id == screening_id, S.source.is_not(None), *open_)
