import socket
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import OperationalError

from detectors.errors import InputError
from service.caller import OPEN
from service.jobs.backend import Backend
from service.policy import Policy
from service.storage import database
from service.storage.database import connect, database_url, downgrade, migrate
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
