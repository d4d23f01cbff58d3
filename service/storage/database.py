"""The database: SQLite in the data folder, or PostgreSQL by its URL."""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    cast,
    create_engine,
    event,
    func,
    inspect,
    literal_column,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from detectors.errors import InputError

HEAD: Final = "0008"
"""The newest migration: a database that has it is not looked at further."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"
MIGRATION_LOCK: Final = 0x7475_6E65
"""Key of the PostgreSQL advisory lock that lets one process migrate at a time."""

BUSY_MILLISECONDS: Final = 30_000

PATIENCE: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""What libpq is told unless the URL says it: seconds, `tcp_user_timeout` milliseconds.

A server whose machine or network is gone sends no word; without these, a query that was
sent to it would wait for minutes to hours.
"""


IDLE_SECONDS: Final = 120
"""After so long without a word within a transaction PostgreSQL gives a connection up.

A process that is frozen in one, or its machine, would keep its locks from all others.
"""


def database_url(url: str, folder: Path) -> URL:
    """Return the URL to connect to; "" is a file of the folder, which is made.

    PostgreSQL is waited for no longer than PATIENCE says, where the URL says nothing.
    InputError where it names no SQLite file and no PostgreSQL database.
    """
    if not url:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.absolute() / "tunegate.sqlite"
        return URL.create("sqlite", database=str(path))
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError("setting TUNEGATE_DATABASE_URL: not a database URL") from error
    kind = parsed.drivername.split("+")[0]
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    if kind in ("postgres", "postgresql") and parsed.database:
        wanted = {k: v for k, v in PATIENCE.items() if k not in parsed.query}
        return parsed.set(drivername="postgresql+psycopg").update_query_dict(wanted)
    raise InputError(
        "setting TUNEGATE_DATABASE_URL: expected sqlite:////path/to/file or "
        "postgresql://user@host/database"
    )


def connect(url: URL) -> Engine:
    """Return an engine for the URL; nothing is opened yet."""
    try:
        if url.get_backend_name() != "sqlite":
            engine = create_engine(
                url, pool_pre_ping=True, pool_size=10, hide_parameters=True
            )
            event.listen(engine, "connect", _prepare_postgres)
            return engine
    except (ImportError, NoSuchModuleError) as error:
        said = "PostgreSQL needs its driver: pip install 'tunegate[postgres]'"
        raise InputError(said) from error
    engine = create_engine(url, pool_size=10, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading(engine: Engine) -> Engine:
    """Return the engine for reads: no transaction, so on SQLite no lock is taken."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _prepare_postgres(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.commit()


def _prepare_sqlite(connection: Any, record: object) -> None:
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # transactions begin below, not in the driver
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for writers
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once: a later upgrade of a read lock can deadlock."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def clock(connection: Connection) -> ColumnElement[float]:
    """Return the SQL for the database's time, in seconds since 1970."""
    if connection.dialect.name == "sqlite":
        return literal_column("(julianday('now') - 2440587.5) * 86400.0", Float)
    return cast(func.extract("epoch", func.clock_timestamp()), Float(53))


def migrate(engine: Engine) -> None:
    """Bring the tables up to date; processes that start together take turns."""
    with reading(engine).connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            key = {"key": MIGRATION_LOCK}
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), key)
        upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Do migrations up to a revision, inside the caller's transaction."""
    from alembic import command

    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str = "base") -> None:
    """Undo migrations down to a revision, inside the caller's transaction."""
    from alembic import command

    command.downgrade(_config(connection), revision)


def _config(connection: Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = table("alembic_version")
    number: ColumnElement[str] = literal_column("version_num")
    found = select(number).select_from(version)
    revision: str | None = connection.execute(found).scalar()
    return revision
