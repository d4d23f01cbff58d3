"""Tables: what the service knows of its screenings; never the text of a row.

Migrations make them (`service/storage/migrations`); a test holds the two together.
Times are UTC, ISO 8601 to the millisecond, so that text sorts as time.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

Number: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts by itself only in a column of the type INTEGER."""

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

DATASETS: Final = Table(
    "datasets",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
)
"""Uploads by the SHA-256 of their bytes; the bytes lie in the object store."""

SCREENINGS: Final = Table(
    "screenings",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("stage", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("outcome", String(16)),
    Column("fault_code", String(100)),
    Column("fault_message", Text),
    Column("started_at", String(32)),
    Column("finished_at", String(32)),
    Column("dataset", String(64), ForeignKey("datasets.digest"), index=True),
    Column("form", String(8), nullable=False),
    Column("policy", JSON, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("run_trial", Boolean, nullable=False),
    Column("report", String(64)),
    Column("deleted_at", String(32)),
    Column("purged_at", String(32)),
    Column("tenant", String(63), nullable=False),
    Index("ix_screenings_status", "status", "deleted_at"),
    Column("idempotency_key", String(64)),
    Column("request", String(64)),
    Index("ix_screenings_tenant", "tenant", "number"),
    Index("uq_screenings_idempotency_key", "tenant", "idempotency_key", unique=True),
    Column("batch", String(40), index=True),
    Column("stage_at", String(32)),
    Column("stages", JSON),
    Column("source", LargeBinary),
    Column("priority", String(8), nullable=False),
)
"""One row a screening asked for. `form` is "file" or "rows" (JSON), `report` the
SHA-256 of the report, `request` that of what was asked for under the
`idempotency_key`, itself a SHA-256. `stages` has the seconds and steps of each
stage that is over, `stage_at` when the present one began. `source` is the URL of a
dataset that is still to be fetched, sealed; there is no `dataset` yet then. `priority`
is low, normal or high. A deleted one keeps its row until its objects are gone."""

BATCHES: Final = Table(
    "batches",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant", String(63), nullable=False),
    Column("name", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("cancelled_at", String(32)),
    Column("idempotency_key", String(64)),
    Column("request", String(64)),
    Index("ix_batches_tenant", "tenant", "number"),
    Index("uq_batches_idempotency_key", "tenant", "idempotency_key", unique=True),
)
"""Screenings asked for together: `size` of them. A batch goes with its last one."""

CERTIFICATES: Final = Table(
    "certificates",
    METADATA,
    Column("screening", String(40), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
)
"""What came of each screening, as it is handed out. It refers to no row of theirs: it
stays when a screening is deleted, for it has digests, codes and versions alone."""

AUDIT_EVENTS: Final = Table(
    "audit_events",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", String(40), nullable=False, index=True),
    Column("facts", JSON, nullable=False),
    Column("tenant", String(63), nullable=False),
    Column("key", String(12), nullable=False),
    Column("hash", String(64), nullable=False),
)
"""What happened, append-only (triggers refuse the rest) and chained by hashes: digests,
outcomes and codes, no content."""

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("tenant", String(63), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("revoked_at", String(32)),
    Column("last_used_at", String(32)),
)
"""Who may call: the SHA-256 of each secret, never the secret."""

POLICIES: Final = Table(
    "policies",
    METADATA,
    Column("tenant", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("content", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
)
"""Every version of every policy that a tenant keeps."""

WEBHOOKS: Final = Table(
    "webhooks",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(63), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", String(100), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("removed_at", String(32)),
)
"""Who is told. The secret signs, so it is kept as it is, until the webhook goes."""

DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column(
        "webhook", String(40), ForeignKey("webhooks.id"), nullable=False, index=True
    ),
    Column("payload", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", String(32)),
    Column("said", String(200), nullable=False),
    Index("ix_deliveries_state", "state", "next_at"),
)
"""What is to be sent, and what came of it: ids, statuses and outcomes, no content."""

EXECUTORS: Final = Table(
    "executors",
    METADATA,
    Column("id", String(80), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("seen_at", Float(53), nullable=False),
    Column("stopped", Boolean, nullable=False),
)
"""Processes that run screenings. `seen_at`: seconds since 1970, by the database."""
