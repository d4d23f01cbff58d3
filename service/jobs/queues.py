"""Queues: what waits to be worked on, in the service's own database, by DBOS."""

from collections.abc import Mapping, Sequence
from typing import Final

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy import Connection, Engine, String, column, func, select, table

from service.settings import INGEST, QUEUES
from service.storage.queue import NORMAL, Priority
from service.telemetry.origin import REQUEST_ID, origin
from service.telemetry.tracing import traceparent

APPLICATION: Final = "tunegate"
WORKFLOW_VERSION: Final = "1"
"""Grows with every change of the order of steps: a screening begun under one version
is not gone on with under another."""

ATTEMPTS: Final = 20
"""Times a screening is begun again before it counts as what brings the process down."""

RANKS: Final[dict[Priority, int]] = {"high": 1, "normal": 2, "low": 3}
"""Priorities as DBOS has them: the lower number goes first, and among equals the older.
What was queued without one has 0, and goes before all. Where a limit of a tenant's
screenings at work is set they order each tenant's own alone: tenants take turns."""

Account = Mapping[str, str]
"""On whose account a screening runs: `tenant`, and for logs and traces the `request_id`
and `traceparent` of what asked for it."""

SCHEMA: Final = {"postgresql": "dbos"}
"""Where DBOS has its tables."""

STATES: Final = {"ENQUEUED": "waiting", "PENDING": "running"}

LOST: Final = ("CANCELLED", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
"""States of a workflow that ended without ending its screening."""


def serializer() -> DBOSPortableJSONSerializer:
    """Return how arguments and results are kept: as JSON, never as a pickle."""
    return DBOSPortableJSONSerializer()


def trial_id(screening_id: str) -> str:
    """Return the id of the workflow that does the second half of a screening."""
    return f"{screening_id}.trial"


def ingest_id(screening_id: str) -> str:
    """Return the id of the workflow that fetches the dataset of a screening."""
    return f"{screening_id}.ingest"


def workflow_ids(screening_ids: Sequence[str]) -> dict[str, str]:
    """Return the ids of every workflow there may be, each with its screening's."""
    found = {id_: id_ for id_ in screening_ids}
    found |= {trial_id(id_): id_ for id_ in screening_ids}
    return found | {ingest_id(id_): id_ for id_ in screening_ids}


class Queues:
    """The queues, seen from outside: to put in, to take out, to ask about."""

    def __init__(self, engine: Engine, *, timeout_seconds: float = 0.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=serializer(),
            application_name=APPLICATION,
            lazy=True,
        )

    def register(
        self, *, poll_seconds: float, each_tenant: int = 0, fetches: int = 1
    ) -> None:
        """List the queues; each process works on one screening of each at a time.

        Of those that are fetched, which is mostly waiting, it is `fetches`. All
        processes together work on at most `each_tenant` of a tenant's; 0: no limit.
        """
        for name in QUEUES:
            self._client.register_queue(
                name,
                worker_concurrency=fetches if name == INGEST else 1,
                partition_concurrency=each_tenant or None,
                polling_interval_sec=poll_seconds,
                on_conflict="always_update",
            )

    def enqueue(
        self,
        connection: Connection,
        screening_id: str,
        tenant: str,
        priority: Priority = NORMAL,
    ) -> None:
        """Queue a screening for the detectors, in the caller's transaction."""
        limit = self._timeout_seconds
        options = _options("detect", screening_id, tenant, priority)
        if limit:
            options["workflow_timeout"] = limit
        self._client.enqueue_in_transaction(
            connection, options, screening_id, account(tenant)
        )

    def enqueue_ingest(
        self,
        connection: Connection,
        screening_id: str,
        tenant: str,
        priority: Priority = NORMAL,
    ) -> None:
        """Queue a screening whose dataset is to be fetched first, likewise.

        That has a time limit of its own.
        """
        options = _options(INGEST, ingest_id(screening_id), tenant, priority)
        self._client.enqueue_in_transaction(
            connection, options, screening_id, account(tenant)
        )

    def depth(self, connection: Connection) -> dict[tuple[str, str], int]:
        """Count what each queue holds, by queue and "waiting" or "running"."""
        c = table(
            "workflow_status",
            column("queue_name", String),
            column("status", String),
            schema=SCHEMA.get(connection.dialect.name),
        ).c
        asked = (
            select(c.queue_name, c.status, func.count())
            .where(c.queue_name.in_(QUEUES), c.status.in_(STATES))
            .group_by(c.queue_name, c.status)
        )
        found = dict.fromkeys(((q, s) for q in QUEUES for s in STATES.values()), 0)
        for queue, state, count in connection.execute(asked):
            found[queue, STATES[state]] = count
        return found

    def cancel(self, screening_id: str) -> None:
        """Stop what is done to a screening: its workflow starts no further step."""
        self._client.cancel_workflows(list(workflow_ids([screening_id])))

    def forget(self, screening_ids: Sequence[str]) -> None:
        """Remove every trace of screenings that are over."""
        if screening_ids:
            self._client.delete_workflows(list(workflow_ids(screening_ids)))

    def lost(self, screening_ids: Sequence[str]) -> dict[str, str]:
        """Say of which screenings the work ended without a result, and how."""
        if not screening_ids:
            return {}
        every = workflow_ids(screening_ids)
        found = self._client.list_workflows(
            workflow_ids=list(every), status=list(LOST), load_input=False
        )
        return {every[each.workflow_id]: each.status for each in found}

    def close(self) -> None:
        """Let go of what the client holds."""
        self._client.destroy()


def _options(
    name: str, workflow_id: str, tenant: str, priority: Priority
) -> EnqueueOptions:
    """Say what is to be queued: each queue has the workflow of its name."""
    return {
        "workflow_name": name,
        "queue_name": name,
        "workflow_id": workflow_id,
        "app_version": WORKFLOW_VERSION,
        "queue_partition_key": tenant,
        "priority": RANKS[priority],
    }


def account(tenant: str) -> dict[str, str]:
    """Say on whose account the request of this thread or task asks."""
    asked = {REQUEST_ID: origin().get(REQUEST_ID, ""), **traceparent()}
    return {"tenant": tenant, **{k: v for k, v in asked.items() if v}}


def prepare(url: str) -> None:
    """Make or bring up to date the tables of the queue."""
    DBOS.migrate(url)
