"""Tables: what the service knows of its screenings; never the text of a row.

Migrations make them (`service/migrations`); a test holds the two together. Times are
UTC, ISO 8601 to the millisecond, so that text sorts as time.
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
    Index("ix_screenings_status", "status", "deleted_at"),
)
"""One row a screening asked for. `form` is "file" or "rows" (JSON), `report` the
SHA-256 of the report. A deleted one keeps its row until its objects are gone."""

AUDIT_EVENTS: Final = Table(
    "audit_events",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("action", String(32), nullable=False),
    Column("screening", String(40), nullable=False, index=True),
    Column("facts", JSON, nullable=False),
)
"""What happened, append-only: digests, outcomes and codes, no content."""

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
