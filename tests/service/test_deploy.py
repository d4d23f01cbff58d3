"""What is deployed names settings and commands that there are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import parser
from service.settings import QUEUES, Settings

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


def queues(commands: list[list[str]]) -> set[str]:
    """Return the queues that `tunegate worker` is told to work on."""
    read = [parser().parse_args(each[1:]) for each in commands if each[1] == "worker"]
    return {name for each in read for name in each.queues.split(",")}


def test_every_queue_is_worked_on() -> None:
    ours = [each for each in compose().values() if "profiles" not in each]
    ours = [each for each in ours if each.get("image", "").startswith("tunegate")]
    assert queues([each["command"] for each in ours]) == set(QUEUES)
    assert queues([each["args"] for each in containers().values()]) == set(QUEUES)


def test_a_trial_worker_has_a_gpu_and_no_other_process_has() -> None:
    wanted = {
        name: each["resources"]["limits"].get("nvidia.com/gpu")
        for name, each in containers().items()
    }
    assert wanted.pop("Deployment/trial") == 1
    assert set(wanted.values()) == {None}
    assert "gpu" in containers()["Deployment/trial"]["image"]
    (device,) = compose()["trial-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["api", "ingest", "detect", "trial"])
def test_every_process_has_time_to_start_and_is_asked_whether_it_lives(
    name: str,
) -> None:
    one = containers()[f"Deployment/{name}"]
    ports = {port["name"] for port in one["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        (asked,) = [v for k, v in one[probe].items() if k in ("httpGet", "tcpSocket")]
        assert asked["port"] in ports
    start = one["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 120
    pod = kubernetes()[f"Deployment/{name}"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS


STOP_SECONDS = 35
"""The longest that a process takes to stop (docs/operations.md)."""


def test_the_api_gets_requests_only_while_it_can_accept_them() -> None:
    api = containers()["Deployment/api"]
    assert api["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert api["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "/healthz" in (ROOT / "Dockerfile").read_text("utf-8")


def test_compose_has_an_object_store_with_the_bucket_that_is_named() -> None:
    ours = compose()
    environment = ours["api"]["environment"]
    assert environment["TUNEGATE_STORAGE_URL"].startswith("s3://tunegate/")
    assert environment["AWS_ENDPOINT_URL"] == "http://minio:9000"
    assert ours["minio"]["image"].startswith("minio/minio")
    assert "mc mb --ignore-existing store/tunegate" in ours["bucket"]["entrypoint"][-1]
    for name in ("api", "ingest", "detect", "trial", "trial-gpu"):
        waits = ours[name]["depends_on"]
        assert waits["bucket"] == {"condition": "service_completed_successfully"}
        assert ours[name]["build"]["args"]["EXTRAS"] == "postgres,s3"


def test_what_is_deployed_takes_whole_batches_of_many_clients() -> None:
    default = Settings()
    for given in (
        compose()["api"]["environment"],
        kubernetes()["ConfigMap/tunegate"]["data"],
    ):
        most = int(given["TUNEGATE_MAX_QUEUED"])
        each = int(given["TUNEGATE_MAX_QUEUED_PER_TENANT"])
        assert default.batch_max_datasets * 2 <= each <= most // 2
        assert most <= default.max_kept
