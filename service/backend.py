"""Backend: database, object store and queues, as the settings name them."""

from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from detectors.errors import InputError
from service.database import connect, database_url, migrate
from service.datasets import Upload
from service.deletion import Deletion
from service.objects import ObjectStore
from service.queues import Queues, prepare
from service.settings import Settings
from service.store import Order, Screening, Store


@dataclass(frozen=True)
class Backend:
    """Where screenings are kept and wait; shared by every process of a service."""

    settings: Settings
    engine: Engine
    store: Store
    queues: Queues
    deletion: Deletion

    @property
    def database_url(self) -> str:
        """The URL of the database, with its password."""
        return self.engine.url.render_as_string(hide_password=False)

    def accept(self, order: Order, upload: Upload) -> Screening:
        """List and queue a screening; QueueFull where too many are open."""
        screening = self.store.accept(order, upload, self.queues)
        self.deletion.trim(self.settings.max_kept)
        return screening

    def delete(self, screening_id: str) -> bool:
        """Delete a screening, and stop the work on it; False where there is none."""
        deleted = self.deletion.delete(screening_id)
        if deleted:
            self.queues.cancel(screening_id)
        return deleted

    def close(self) -> None:
        """Close the connections."""
        self.queues.close()
        self.engine.dispose()


def open_backend(settings: Settings) -> Backend:
    """Connect, and bring the tables up to date.

    InputError where the database does not answer or the settings name none.
    """
    engine = connect(database_url(settings.database_url, settings.data_dir))
    url = settings.storage_url or str(settings.data_dir.absolute() / "objects")
    objects = ObjectStore(url)
    try:
        migrate(engine)
        prepare(engine.url.render_as_string(hide_password=False))
    except DBAPIError as error:
        where = engine.url.render_as_string(hide_password=True)
        said = f"database {where}: {str(error.orig).splitlines()[0]}"
        raise InputError(said) from error
    queues = Queues(engine, timeout_seconds=settings.timeout_seconds)
    queues.register(poll_seconds=settings.poll_seconds)
    store = Store(engine, objects, max_open=settings.max_queued)
    return Backend(settings, engine, store, queues, Deletion(store))
