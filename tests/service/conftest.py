"""What the service is tested with: fakes of the models, databases, an object store."""

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from hypothesis import settings as hypothesis_settings

from service.api.app import create_app
from service.jobs.backend import Backend, open_backend
from service.models import Models
from service.policy import DetectorLimits
from service.settings import Settings
from tests.service.fakes import (
    MARKED,
    FakeEncoder,
    FakeRunner,
    MarkDetector,
    QuietDetector,
)
from tests.service.s3 import S3

# DBOS would else bind its first handler to the standard error of the test that is the
# first to start it, which is closed behind a test that captures.
logging.getLogger("dbos").addHandler(logging.NullHandler())
logging.getLogger("dbos").propagate = False

hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")  # a busy machine is no failure


@pytest.fixture
def models() -> Models:
    return _models()


def _models() -> Models:
    detectors = (
        MarkDetector("explicit_harm", "BAD"),
        MarkDetector("identity_shift", "PERSONA"),
        *(
            QuietDetector(name, "")
            for name in DetectorLimits.model_fields
            if name not in MARKED
        ),
    )
    return Models(FakeEncoder(), detectors)  # type: ignore[arg-type]


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a chat row from what the user says."""

    def make(said: str = "Where is my parcel?") -> dict[str, Any]:
        reply = {"role": "assistant", "content": "Let me look that up."}
        return {"messages": [{"role": "user", "content": said}, reply]}

    return make


@pytest.fixture
def write(tmp_path: Path, row: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    """Return a function that writes a JSONL file of 20 rows, some as given."""

    def make(*said: str, name: str = "data.jsonl", rows: int = 20) -> Path:
        texts = [*said, *(f"Where is parcel {n}?" for n in range(rows - len(said)))]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row(t)) + "\n" for t in texts), "utf-8")
        return path

    return make


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database file that has all tables: to copy it is quick."""
    folder = tmp_path_factory.mktemp("template")
    open_backend(Settings(data_dir=folder)).close()
    return folder / "tunegate.sqlite"


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path, postgres_url: str) -> Settings:
    (tmp_path / "kept").mkdir()
    return _settings(tmp_path / "kept", sqlite_template, postgres_url)


def _settings(folder: Path, template: Path, postgres_url: str = "") -> Settings:
    shutil.copy(template, folder)
    return Settings(
        data_dir=folder,
        database_url=postgres_url,
        max_queued=2,
        max_json_bytes=200_000,
        poll_seconds=0.1,
    )


@pytest.fixture
def client(
    settings: Settings, models: Models, runner: FakeRunner
) -> Iterator[TestClient]:
    """Serve the API and its worker, with nothing in the database."""
    yield from _served(settings, models, runner)


@pytest.fixture(scope="session")
def untouched_client(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[TestClient]:
    """Serve the API, once for all tests that ask for nothing but what is refused.

    It works on no queue: a process has room for one worker, that of `client`.
    """
    settings = _settings(tmp_path_factory.mktemp("kept"), sqlite_template)
    idle = settings.model_copy(update={"queues": ()})
    yield from _served(idle, _models(), FakeRunner())


def _served(
    settings: Settings, models: Models, runner: FakeRunner
) -> Iterator[TestClient]:
    app = create_app(settings, load=lambda: models, runner=runner)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


POSTGRES = os.environ.get(
    "TUNEGATE_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres"
)


@contextmanager
def fresh_postgres(template: str = "template1") -> Iterator[str]:
    """Make a database, give its URL, and drop it."""
    name = f"tunegate_test_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield POSTGRES.rsplit("/", 1)[0] + f"/{name}"
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> None:
    """Skip where no PostgreSQL answers; in CI that is a failure instead."""
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.OperationalError:
        if os.environ.get("TUNEGATE_CI"):
            raise
        pytest.skip("no PostgreSQL answers at TUNEGATE_TEST_POSTGRES")


@pytest.fixture(scope="session")
def postgres_template(
    postgres_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Make a database that has all tables: copies of it are quick to make."""
    folder = tmp_path_factory.mktemp("template")
    with fresh_postgres() as url:
        open_backend(Settings(data_dir=folder, database_url=url)).close()
        yield url.rsplit("/", 1)[1]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests marked `each_database` over PostgreSQL, too; maybe as a slow test."""
    asked = metafunc.definition.get_closest_marker("each_database")
    if asked is None:
        return
    marks = [pytest.mark.postgres]
    if asked.kwargs.get("slow"):
        marks.append(pytest.mark.slow)
    kinds = ["sqlite", pytest.param("postgres", marks=marks)]
    metafunc.parametrize("postgres_url", kinds, indirect=True)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a PostgreSQL database that has all tables; "" for SQLite."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield ""
        return
    with fresh_postgres(request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database of each kind that has all tables, and no row."""
    if request.param == "sqlite":
        path = tmp_path / "test.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template = request.getfixturevalue("postgres_template")
    with fresh_postgres(template) as url:
        yield url


@pytest.fixture
def backend(database_url: str, tmp_path: Path) -> Iterator[Backend]:
    """Open a service without processes on each kind of database."""
    made = open_backend(
        Settings(database_url=database_url, data_dir=tmp_path, max_queued=2)
    )
    yield made
    made.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Serve S3, where every client of this process and its children finds it."""
    made = S3()
    given = {
        "AWS_ENDPOINT_URL": made.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        yield made
    made.close()


def wait_until(reached: Callable[[], bool], seconds: float = 60.0) -> None:
    """Ask until it is so, ever seldomer: what is waited for needs the core itself."""
    begun = time.monotonic()
    pause = 0.01
    while not reached():
        assert time.monotonic() < begun + seconds, "waited too long"
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)


@pytest.fixture
def wait() -> Callable[..., None]:
    """Return a function that waits until a condition holds."""
    return wait_until
