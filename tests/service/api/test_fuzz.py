"""Every operation of the OpenAPI document, with what fits it and with what does not."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

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

PUBLIC = partial(check_url, resolve=lambda host, port: ["93.184.215.14"])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {
        "auth": "keys",
        "max_queued": 100_000,
        "max_kept": 100_000,
        "fetch_sources": (),
        "wrong_keys_per_minute": 0,
    }
    return settings.model_copy(update=limits)


@dataclass(frozen=True)
class Served:
    """Where the service is, the headers of a tenant, and its document."""

    base: str
    headers: dict[str, str]
    document: dict[str, Any]


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
    app = create_app(settings, load=lambda: models, runner=runner)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    key = context_of(app).backend.keys.create("acme", "k", frozenset(SCOPES))[1]
    headers = {"Authorization": f"Bearer {key}"}
    yield Served(f"http://127.0.0.1:{port}", headers, app.openapi())
    server.should_exit = True
    thread.join()


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


def test_the_api_keeps_to_its_document(served: Served) -> None:
    assert fuzz(served, 1) > 40


CONFIG: Final = """[generation]
allow-extra-parameters = false
deterministic = true
database = "none"
no-shrink = true
"""


@pytest.mark.slow
def test_the_api_keeps_to_its_document_in_every_phase(
    served: Served, tmp_path: Path
) -> None:
    """Examples, borders, chance, and operations that use what others made."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    said = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={config}",
            "run",
            f"{served.base}/openapi.json",
            f"--header=Authorization: {served.headers['Authorization']}",
            "--phases=examples,coverage,fuzzing,stateful",
            "--exclude-checks=positive_data_acceptance",
            "--max-examples=40",
            "--continue-on-failure",
            "--request-timeout=30",
            "--warnings=off",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=590,
        check=False,
    )
    assert said.returncode == 0, said.stdout[-8_000:] + said.stderr[-2_000:]
    assert "Stateful" in said.stdout
