"""What is deployed names settings and commands that there are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import parser
from service.settings import Settings

ROOT = Path(__file__).parents[2]
KNOWN = {f"TUNEGATE_{name.upper()}" for name in Settings.model_fields}


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return found["services"]


def kubernetes() -> dict[str, Any]:
    text = (ROOT / "deploy" / "kubernetes" / "tunegate.yaml").read_text("utf-8")
    items = yaml.safe_load(text)["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in items}


def containers() -> dict[str, Any]:
    found = kubernetes()
    return {
        name: each["spec"]["template"]["spec"]["containers"][0]
        for name, each in found.items()
        if name.startswith("Deployment/")
    }


def test_the_settings_that_are_set_exist() -> None:
    named = {k for each in compose().values() for k in each.get("environment", {})}
    named |= set(kubernetes()["ConfigMap/tunegate"]["data"])
    for each in containers().values():
        named |= {entry["name"] for entry in each.get("env", [])}
    ours = {name for name in named if name.startswith("TUNEGATE_")}
    assert len(ours) >= 4
    assert ours <= KNOWN


def test_the_commands_that_are_run_exist() -> None:
    commands = [
        each["command"]
        for each in compose().values()
        if each.get("image", "").startswith("tunegate")
    ]
    commands += [each["args"] for each in containers().values()]
    assert len(commands) == 9
    for command in commands:
        assert command[0] == "tunegate"
        assert callable(parser().parse_args(command[1:]).run)


@pytest.mark.parametrize("name", ["api", "ingest", "detect", "trial"])
def test_what_is_deployed_is_confined(name: str) -> None:
    ours = compose()[name]
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    guard = containers()[f"Deployment/{name}"]["securityContext"]
    assert guard["readOnlyRootFilesystem"] is True
    assert guard["allowPrivilegeEscalation"] is False


def test_a_deployed_service_asks_for_keys() -> None:
    assert compose()["api"]["environment"]["TUNEGATE_AUTH"] == "keys"
    assert kubernetes()["ConfigMap/tunegate"]["data"]["TUNEGATE_AUTH"] == "keys"


def test_prometheus_reads_every_process_at_its_metrics_port() -> None:
    text = (ROOT / "deploy" / "prometheus.yaml").read_text("utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    ours = {
        name
        for name, each in compose().items()
        if each.get("image", "").startswith("tunegate")
    }
    assert set(found["names"]) == ours
    for name in ours:
        environment = compose()[name]["environment"]
        assert environment["TUNEGATE_METRICS_PORT"] == str(found["port"])
    given = kubernetes()["ConfigMap/tunegate"]["data"]
    for each in containers().values():
        ports = {port["name"]: port["containerPort"] for port in each["ports"]}
        assert str(ports["metrics"]) == given["TUNEGATE_METRICS_PORT"]
        assert "livenessProbe" in each
