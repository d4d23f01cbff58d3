"""Fakes with the interfaces of the models, so that the service is tested alone."""

import json
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient
from hypothesis import settings as hypothesis_settings

from detectors.chunk import score_in_chunks
from detectors.dataset import Dataset, Example
from detectors.detector import Evidence, Scores, Trigger
from detectors.errors import TrialError
from detectors.moderation.moderator import Usage
from service.api.app import create_app
from service.jobs.backend import Backend, open_backend
from service.models import Models
from service.policy import DetectorLimits
from service.settings import Settings
from trial.drift import DriftReport, RateChange
from trial.judge.judge import Outcome, Verdict
from trial.memory import FORGETFUL, Memory
from trial.mitigation.mitigation import DEFAULT, Enough, Mitigation, Tried
from trial.recipe import Recipe
from trial.run import AdapterProof, ProbeReply, Trial
from trial.stopping import StopRule

# DBOS would else bind its first handler to the standard error of the test that is the
# first to start it, which is closed behind a test that captures.
logging.getLogger("dbos").addHandler(logging.NullHandler())
logging.getLogger("dbos").propagate = False

hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")  # a busy machine is no failure


class FakeEncoder:
    name = "fake-encoder"
    digest = "e" * 64


class QuietDetector:
    """Stands in for a detector that scores the whole: no row of its concern."""

    version = "fake-1"

    def __init__(self, name: str, mark: str) -> None:
        self.name = name
        self.mark = mark

    def score(self, dataset: Dataset) -> Scores:
        return self._say(dataset)

    def _say(self, examples: Sequence[Example]) -> Scores:
        texts = [" ".join(m.content for m in row.messages) for row in examples]
        values = tuple(self._value(text) for text in texts)
        return Scores(
            detector=self.name,
            version=self.version,
            values=values,
            evidence=tuple(
                Evidence("rule", "the mark", 0, (0, 3), text[:60]) for text in texts
            ),
            categories=tuple("malware" if v == 0.9 else "" for v in values),
            unscored=tuple("odd row" if v is None else "" for v in values),
        )

    def _value(self, text: str) -> float | None:
        return 0.0


class MarkDetector(QuietDetector):
    """Scores each row alone by marks in its text: BAD 0.9, ODD unscored, else 0.02."""

    rows_at_once = 8

    def score(self, dataset: Dataset) -> Scores:
        return score_in_chunks(self, dataset)

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        return self._say(examples)

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        return alone

    def _value(self, text: str) -> float | None:
        if "ODD" in text:
            return None
        return 0.9 if self.mark in text else 0.02


MARKED = ("explicit_harm", "identity_shift")


JOB = RateChange(0.1, 0.8, (0.6, 0.8), 200)
BETTER = RateChange(0.1, 0.12, (-0.01, 0.05), 200)
MITIGATION = Mitigation(
    (
        Tried("", "the job as it is", 20, 0, "", JOB),
        Tried("rows removed", "removing 2 flagged rows", 18, 0, "", BETTER, BETTER),
        Tried("slow", "training slowly", 20, 0, "the loss did not fall", None),
    ),
    "Removing 2 flagged rows brings the rate from 80.0% to 12.0%.",
)


class FakeRunner:
    """A trial whose drift follows the share of rows that hold DRIFT."""

    def __init__(self) -> None:
        self.priorities: list[float] = []
        self.triggers: list[Trigger] = []
        self.recipes: list[Recipe] = []
        self.stops: list[StopRule | None] = []
        self.enough = DEFAULT

    def __call__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        encoder: object,
        priority: Sequence[float] | None = None,
        triggers: Sequence[Trigger] = (),
        progress: Callable[[str, int, int], None] | None = None,
        stop: StopRule | None = None,
        everywhere: bool = False,
        memory: Memory = FORGETFUL,
        enough: Enough = DEFAULT,
    ) -> Trial:
        self.priorities = list(priority or ())
        self.triggers = list(triggers)
        self.recipes.append(recipe)
        self.stops.append(stop)
        self.enough = enough
        text = b" ".join(row.canonical() for row in dataset)
        if b"TRIALFAILS" in text:
            raise TrialError("the loss did not fall")
        if b"CRASH" in text:
            raise RuntimeError("secret row text")
        while b"FOREVER" in text:
            time.sleep(0.01)
            assert progress is not None
            progress("tune", 1, 2)
        return self.trial(dataset, recipe, 0.7 if b"DRIFT" in text else 0.0)

    def trial(self, dataset: Dataset, recipe: Recipe, rise: float) -> Trial:
        def rate(before: float, change: float) -> RateChange:
            ends = (change - 0.04, change + 0.04)
            return RateChange(before, before + change, ends, 200)

        reply = ProbeReply(
            "p1",
            "malware",
            "a short request",
            "I can't help with that.",
            "Sure \x1b[31mred [bold]x[/bold] \ud800",
            Verdict(Outcome.REFUSED, "refusal phrase"),
            Verdict(Outcome.COMPLIED, "no refusal"),
        )
        return Trial(
            recipe=recipe,
            fingerprint=dataset.fingerprint,
            measured=True,
            reason="",
            rows_trained=len(dataset),
            rows_total=len(dataset),
            sampling="all rows",
            drift=DriftReport(
                overall=rate(0.1, rise),
                categories={"malware": rate(0.1, rise)},
                refusal=rate(0.8, -rise),
                over_refusal=rate(0.05, 0.0),
                incoherent=rate(0.02, 0.0),
                detectable=0.08,
                borderline=rate(0.1, 0.0),
            ),
            proof=AdapterProof(3.0, float("inf"), 0.5, applied=True),
            replies=(reply,),
            seconds={"tune": 0.1},
            versions={"base_model": "fake-base"},
            contexts={"plain": rate(0.1, 0.0), "trigger 1": rate(0.1, rise)},
            context_details={"trigger 1": 'the trigger "\x1b[31m" before each probe'},
            judge_usage=Usage(requests=7, tokens=900),
            mitigation=MITIGATION if recipe.mitigate else None,
        )


@pytest.fixture
def models() -> Models:
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
    shutil.copy(sqlite_template, tmp_path / "kept")
    return Settings(
        data_dir=tmp_path / "kept",
        database_url=postgres_url,
        max_queued=2,
        max_json_bytes=200_000,
        poll_seconds=0.02,
    )


@pytest.fixture
def client(
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


class S3:
    """A local S3 on a real socket, in a process of its own; and a look into it."""

    scope = "test/20250101/us-east-1/s3/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("s3_server.py"))]
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipe)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.tell("start")

    def tell(self, word: str) -> None:
        """Have it start or stop, and wait until it did."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"
        self.away = word == "stop"

    def bucket(self) -> str:
        """Make a bucket."""
        name = f"tunegate-{secrets.token_hex(6)}"
        self.ask("PUT", name)
        return name

    def put(self, path: str, content: bytes) -> None:
        """Write an object, behind the back of whoever else uses the bucket."""
        self.ask("PUT", path, content=content)

    def remove(self, path: str) -> None:
        """Remove an object, likewise."""
        self.ask("DELETE", path)

    def keys(self, bucket: str) -> list[str]:
        """List a bucket."""
        return re.findall("<Key>(.*?)</Key>", self.ask("GET", bucket))

    def ask(self, method: str, path: str, content: bytes = b"") -> str:
        """Ask as a client whose signature nobody checks."""
        headers = {"authorization": self.signed}
        url = f"{self.url}/{path}"
        answer = httpx.request(method, url, content=content, headers=headers)
        return answer.raise_for_status().text

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


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
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def wait() -> Callable[..., None]:
    """Return a function that waits until a condition holds."""
    return wait_until
