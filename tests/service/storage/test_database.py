import socket
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    MetaData,
    Table,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, OperationalError

from detectors.errors import InputError
from service.caller import OPEN
from service.jobs.backend import Backend
from service.jobs.workflow import away
from service.policy import Policy
from service.storage import audit, database
from service.storage.database import (
    connect,
    database_url,
    downgrade,
    migrate,
    upgrade,
)
from service.storage.screening import Order
from service.storage.tables import METADATA
from trial.recipe import Recipe


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    made = connect(database.database_url(database_url, tmp_path))
    with made.begin() as connection:
        if inspect(connection).has_table("alembic_version"):
            downgrade(connection)
    yield made
    made.dispose()


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names()) & set(METADATA.tables)


def test_migrations_go_up_and_down_and_up(engine: Engine) -> None:
    assert tables(engine) == set()
    for _ in range(2):
        migrate(engine)
        assert tables(engine) == set(METADATA.tables)
        with engine.begin() as connection:
            downgrade(connection)
        assert tables(engine) == set()


def test_migrations_make_the_tables_that_the_code_expects(engine: Engine) -> None:
    migrate(engine)
    migrate(engine)

    def ours(
        item: object, name: str | None, kind: str, reflected: bool, other: object
    ) -> bool:
        return kind != "table" or name in METADATA.tables

    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_screenings_from_before_there_were_priorities_have_the_normal_one(
    backend: Backend,
) -> None:
    upload = backend.store.datasets.receive(BytesIO(b"rows"))
    order = Order("n", Policy(), Recipe(), run_trial=False, priority="low")
    screening = backend.accept(order, upload, OPEN).id
    with backend.engine.begin() as connection:
        downgrade(connection, "0007")
    migrate(backend.engine)
    found = backend.store.get(screening)
    assert found is not None
    assert found.priority == "normal"


REVISIONS: Final = [
    each.revision for each in ScriptDirectory(str(database.MIGRATIONS)).walk_revisions()
][::-1]


def held(connection: Connection) -> dict[str, Table]:
    """Return the tables of ours as they now are, those that others name first."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in METADATA.tables)
    return {table.name: table for table in found.sorted_tables}


def a_row(table: Table) -> dict[str, Any]:
    """Return a row of what must be there; every text is the same, as keys must be."""
    kinds: dict[type, Any] = {str: "x", int: 1, float: 1.0, bool: True, bytes: b"x"}
    wanted = [c for c in table.columns if not c.nullable and c.name != "number"]
    return {
        c.name: {"n": 1} if isinstance(c.type, JSON) else kinds[c.type.python_type]
        for c in wanted
    }


def fill(connection: Connection) -> None:
    """Put a row into every table that has none."""
    for table in held(connection).values():
        if not connection.execute(select(func.count()).select_from(table)).scalar():
            connection.execute(insert(table).values(**a_row(table)))


def rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is in each table, in the columns that the first revision had, too."""
    found = {}
    for name, table in held(connection).items():
        kept = [c for c in table.columns if c.name in ("number", "id", "digest", "at")]
        asked = select(*kept) if kept else select(func.count()).select_from(table)
        found[name] = [tuple(row) for row in connection.execute(asked)]
    return found


def step(connection: Connection, here: str, there: str) -> None:
    """Go one revision up or down: what both of them hold stays as it was."""
    before = rows(connection)
    (upgrade if there > here else downgrade)(connection, there)
    after = rows(connection)
    both = before.keys() & after.keys()
    assert both >= {"datasets", "screenings", "audit_events", "executors"}
    assert [after[name] for name in both] == [before[name] for name in both]


def test_rows_of_every_table_outlive_each_migration_up_and_down_and_up(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        upgrade(connection, REVISIONS[0])
        fill(connection)
        events = held(connection)["audit_events"]
        connection.execute(insert(events), [a_row(events)] * 3)
    way = [*REVISIONS, *REVISIONS[-2::-1], *REVISIONS[1:]]
    for here, there in pairwise(way):
        with engine.begin() as connection:
            step(connection, here, there)
            fill(connection)
            if there == REVISIONS[0]:  # no chain yet
                continue
            audit.note(connection, "2026", "stepped", "scr_x", {}, by=OPEN)
            seen = audit.verify(connection)
            assert seen.right, there
            assert seen.events == len(rows(connection)["audit_events"])
    assert tables(engine) == set(METADATA.tables)


def test_the_code_knows_the_newest_migration() -> None:
    assert ScriptDirectory(str(database.MIGRATIONS)).get_heads() == [database.HEAD]


def test_without_a_url_the_database_is_a_file_of_the_folder(tmp_path: Path) -> None:
    url = database_url("", tmp_path / "new")
    assert url.database == str(tmp_path / "new" / "tunegate.sqlite")
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://a/b", "sqlite://", "postgresql://host", "sqlite:///"]
)
def test_a_url_that_is_no_database_of_ours_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TUNEGATE_DATABASE_URL"):
        database_url(url, tmp_path)


def test_postgres_is_not_waited_for_for_ever_unless_the_url_says_so(
    tmp_path: Path,
) -> None:
    url = database_url("postgres://u@h/d?connect_timeout=60&sslmode=require", tmp_path)
    assert dict(url.query) == {
        **database.PATIENCE,
        "connect_timeout": "60",
        "sslmode": "require",
    }


def test_a_server_that_accepts_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        name = f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2"
        began = time.monotonic()
        with pytest.raises(OperationalError, match="timeout"):
            connect(database_url(name, tmp_path)).connect()
        assert time.monotonic() - began < 20


def test_postgres_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"tunegate\[postgres\]"):
        connect(database_url("postgres://u@h/d", tmp_path))


def test_a_process_that_is_frozen_in_a_transaction_loses_its_locks(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("a lock of SQLite is held by its process alone")
    migrate(engine)
    monkeypatch.setattr(database, "IDLE_SECONDS", 1)
    frozen = connect(engine.url)
    stuck = frozen.connect()
    stuck.exec_driver_sql("LOCK TABLE screenings")
    with engine.begin() as other:  # waits until the server has given it up
        other.exec_driver_sql("LOCK TABLE screenings")
    with pytest.raises(DBAPIError) as caught:
        stuck.exec_driver_sql("SELECT 1")
    assert away(caught.value)  # so that the step is tried again
    frozen.dispose()
