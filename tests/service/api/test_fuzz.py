"""Every operation of the OpenAPI document, with what fits it and with what does not."""

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig
from schemathesis.openapi.loaders import from_dict
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from service.api.app import create_app
from service.api.context import context_of
from service.caller import SCOPES
from service.models import Models
from service.outbound import check_url
from service.settings import Settings
from service.sources import Sources

HOST = "https://data.example.com/"
ROW = b'{"prompt": "Where is parcel 4?", "completion": "On its way."}\n'
PUBLIC = partial(check_url, resolve=lambda host, port: ["93.184.215.14"])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {
        "auth": "keys",
        "max_queued": 100_000,
        "max_kept": 100_000,
        "fetch_sources": (HOST,),
        "wrong_keys_per_minute": 0,
    }
    return settings.model_copy(update=limits)


@dataclass(frozen=True)
class Served:
    """Where the service is, the headers of a tenant, its document, what it fetched."""

    base: str
    headers: dict[str, str]
    document: dict[str, Any]
    fetched: list[str] = field(default_factory=list)

    def fetch(self, request: httpx.Request) -> httpx.Response:
        """Stand in for the web: rows, or none where the path says so."""
        self.fetched.append(request.url.path)
        found = "x" not in request.url.path
        # A stream: what has its content at once counts as read already.
        return httpx.Response(200 if found else 404, stream=httpx.ByteStream(ROW * 5))


UNFIT: Final = [positive_data_acceptance]
"""A document cannot say that a cursor was handed out or that a policy is kept."""


@pytest.fixture
def served(
    settings: Settings,
    models: Models,
    runner: Any,
    wait: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Served]:
    """Serve over a socket."""
    monkeypatch.setattr("service.api.routes.webhooks.check_url", PUBLIC)
    monkeypatch.setattr("service.jobs.deliver.Deliverer.begin", lambda self: 0)
    made: list[Served] = []
    web = httpx.MockTransport(lambda request: made[0].fetch(request))
    public = {"resolve": lambda host, port: ["93.184.215.14"], "transport": web}
    monkeypatch.setattr("service.jobs.worker.Sources", partial(Sources, **public))
    app = create_app(settings, load=lambda: models, runner=runner)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    key = context_of(app).backend.keys.create("acme", "k", frozenset(SCOPES))[1]
    headers = {"Authorization": f"Bearer {key}"}
    made.append(Served(f"http://127.0.0.1:{port}", headers, reachable(app.openapi())))
    yield made[0]
    server.should_exit = True
    thread.join()


def reachable(document: Any) -> Any:
    """Return a document in which the URL of a dataset is one that is fetched here."""
    if isinstance(document, list):
        return [reachable(each) for each in document]
    if not isinstance(document, dict):
        return document
    changed = {key: reachable(each) for key, each in document.items()}
    fields = changed.get("properties", {})
    if isinstance(fields, dict) and {"url", "sha256"} <= fields.keys():
        fields["url"] = {
            "type": "string",
            "pattern": f"^{re.escape(HOST)}[a-z]{{1,4}}$",
        }
    return changed


def document(served: Served) -> OpenApiSchema:
    """Return the document, with whatever strings, but no parameters it has not."""
    schema = from_dict(served.document)
    schema.config.base_url = served.base
    schema.config.generation = GenerationConfig(allow_extra_parameters=False)
    return schema


def patience(examples: int, steps: int = 1) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )


def fuzz(served: Served, examples: int) -> int:
    """Ask each operation for what fits and what does not; return how often."""
    asked = 0
    for found in document(served).get_all_operations():
        for mode in GenerationMode:

            @given(case=found.ok().as_strategy(mode))
            @patience(examples)
            def check(case: schemathesis.Case) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(
                    base_url=served.base,
                    headers=served.headers,
                    excluded_checks=UNFIT,
                )

            with suppress(Unsatisfiable):  # without parameters nothing is wrong
                check()
    return asked


pytestmark = pytest.mark.filterwarnings(
    # The threads of the service use `random` while hypothesis draws.
    "ignore::hypothesis.errors.HypothesisDeprecationWarning"
)


@pytest.mark.each_database(slow=True)
def test_the_api_keeps_to_its_document(served: Served) -> None:
    assert fuzz(served, 1) > 40


CONFIG: Final = """[generation]
allow-extra-parameters = false
deterministic = true
database = "none"
no-shrink = true

[phases.stateful]
max-steps = 20

[phases.stateful.generation]
max-examples = 200
"""


def run(served: Served, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have every phase done; its report and its events lie in the folder."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    (folder / "openapi.json").write_text(json.dumps(served.document))
    return subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file=schemathesis.toml",
            "run",
            "openapi.json",
            f"--url={served.base}",
            f"--header=Authorization: {served.headers['Authorization']}",
            "--phases=examples,coverage,fuzzing,stateful",
            "--exclude-checks=positive_data_acceptance",
            "--max-examples=40",
            "--continue-on-failure",
            "--request-timeout=30",
            "--report-json-path=report.json",
            "--report-ndjson-path=events.ndjson",
            "--warnings=off",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=590,
        check=False,
    )


def followed(folder: Path) -> Counter[str]:
    """Return how often each link was followed: one answer's id in another request."""
    found: Counter[str] = Counter()
    for line in (folder / "events.ndjson").read_text("utf-8").splitlines():
        event = json.loads(line).get("ScenarioFinished", {})
        if event.get("phase") == "stateful":
            cases = event["recorder"].get("cases", {}).values()
            found.update(c["transition"]["id"] for c in cases if c.get("transition"))
    return found


@pytest.mark.slow
@pytest.mark.each_database
def test_the_api_keeps_to_its_document_in_every_phase(
    served: Served, tmp_path: Path
) -> None:
    """Examples, borders, chance, and operations that use what others made."""
    said = run(served, tmp_path)
    assert said.returncode == 0, said.stdout[-8_000:] + said.stderr[-2_000:]
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["operations"]["tested"] == report["operations"]["total"] >= 28
    assert report["test_cases"]["generated"] > 1_500
    links = followed(tmp_path)
    assert len(links) >= 30, links
    assert sum(links.values()) >= 100, links
    for made in ("/v1/screenings", "/v1/batches", "/v1/policies", "/v1/webhooks"):
        rates = report["valid_rates"][f"POST {made}"].values()
        assert sum(each["accepted"] for each in rates) >= 3, made
    assert served.fetched
