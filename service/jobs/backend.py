"""Backend: database, object store and queues, as the settings name them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from detectors.errors import InputError
from service.caller import Caller
from service.envelope import Signer, load_signer
from service.jobs.queues import Queues, prepare
from service.settings import Settings
from service.storage.batch import Batch
from service.storage.batches import Batches
from service.storage.certificates import Certificates
from service.storage.database import connect, database_url, migrate, reading
from service.storage.datasets import Given
from service.storage.deletion import Deletion
from service.storage.holdings import Holdings
from service.storage.keys import Keys
from service.storage.objects import ObjectStore
from service.storage.once import NEVER, Once
from service.storage.policies import Policies
from service.storage.screening import Fault, Order, Screening
from service.storage.sealing import load_seal
from service.storage.store import Store
from service.storage.webhooks import Webhooks

CANCELLED: Final = Fault("cancelled", "It was cancelled, as was asked for.")


@dataclass(frozen=True)
class Backend:
    """Where screenings are kept and wait; shared by every process of a service."""

    settings: Settings
    engine: Engine
    store: Store
    queues: Queues
    deletion: Deletion
    keys: Keys
    signer: Signer | None = None

    @property
    def database_url(self) -> str:
        """The URL of the database, with its password."""
        return self.engine.url.render_as_string(hide_password=False)

    def admit(self, caller: Caller) -> None:
        """Raise QueueFull or TenantFull where a further screening would be refused."""
        with reading(self.engine).connect() as connection:
            self.store.admit(connection, caller.tenant, 1)

    def holdings(self, caller: Caller) -> Holdings:
        """Return what the caller's tenant has."""
        return Holdings(self.store, caller.tenant)

    def certificates(self, caller: Caller) -> Certificates:
        """Return the certificates of the caller's tenant."""
        return Certificates(self.engine, caller.tenant)

    def policies(self, caller: Caller) -> Policies:
        """Return the policies of the caller's tenant."""
        return Policies(self.engine, caller)

    def webhooks(self, caller: Caller) -> Webhooks:
        """Return the webhooks of the caller's tenant."""
        return Webhooks(self.engine, caller)

    def batches(self, caller: Caller) -> Batches:
        """Return the batches of the caller's tenant."""
        return Batches(self.store, self.queues, caller)

    def accept(
        self, order: Order, given: Given, by: Caller, *, once: Once = NEVER
    ) -> Screening:
        """List and queue a screening; QueueFull or TenantFull where too many are.

        What was accepted under its idempotency key before is returned instead;
        KeyReused where that was something else.
        """
        return self.store.accept(order, given, self.queues, by=by, once=once)

    def accept_batch(
        self,
        name: str,
        asked: Sequence[tuple[Order, Given]],
        by: Caller,
        once: Once = NEVER,
    ) -> Batch:
        """List and queue many screenings as one batch; errors as of `accept`."""
        return self.batches(by).accept(name, asked, once=once)

    def cancel(self, screening_id: str, by: Caller) -> bool:
        """End a tenant's screening as failed; False where it is over or there is none.

        What is done to it stops before its next step.
        """
        if self.holdings(by).get(screening_id) is None:
            return False
        cancelled = self.store.fail(screening_id, CANCELLED)
        if cancelled:
            self.queues.cancel(screening_id)
        return cancelled

    def cancel_batch(self, batch_id: str, by: Caller) -> Batch | None:
        """End all of a batch that is not over; None where there is none of that id."""
        batches = self.batches(by)
        for screening_id in batches.screenings(batch_id):
            self.cancel(screening_id, by)
        return batches.cancelled(batch_id)

    def delete_batch(self, batch_id: str, by: Caller) -> bool:
        """Delete a batch with its screenings; False where there is none of that id."""
        batches = self.batches(by)
        # Were an open one not the last to go, its deletion would end the batch.
        for screening_id in batches.screenings(batch_id, over_first=True):
            self.delete(screening_id, by)
        return batches.remove(batch_id)

    def delete(self, screening_id: str, by: Caller) -> bool:
        """Delete a tenant's screening, and stop the work on it.

        False where the tenant has none of that id.
        """
        deleted = self.deletion.delete(screening_id, by)
        if deleted:
            self.queues.cancel(screening_id)
        return deleted

    def close(self) -> None:
        """Close the connections."""
        self.queues.close()
        self.engine.dispose()


def open_backend(settings: Settings) -> Backend:
    """Connect, and bring the tables up to date.

    InputError where the database does not answer, or a setting names no database, no
    storage or no key.
    """
    engine = connect(database_url(settings.database_url, settings.data_dir))
    url = settings.storage_url or str(settings.data_dir.absolute() / "objects")
    seal = load_seal(settings.encryption_keys.get_secret_value())
    signer = load_signer(settings.certificate_key.get_secret_value())
    objects = ObjectStore(url, seal=seal)
    try:
        migrate(engine)
        prepare(engine.url.render_as_string(hide_password=False))
    except DBAPIError as error:
        where = engine.url.render_as_string(hide_password=True)
        said = f"database {where}: {str(error.orig).splitlines()[0]}"
        raise InputError(said) from error
    queues = Queues(engine, timeout_seconds=settings.timeout_seconds)
    queues.register(
        poll_seconds=settings.poll_seconds,
        each_tenant=settings.max_running_per_tenant,
        fetches=settings.fetch_at_once,
    )
    store = Store(
        engine,
        objects,
        seal=seal,
        max_open=settings.max_queued,
        max_each=settings.max_queued_per_tenant,
    )
    deletion, keys = Deletion(store), Keys(engine)
    return Backend(settings, engine, store, queues, deletion, keys, signer)
