from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.context import context_of
from service.api.findings import KEPT_SECONDS, Listed, RecentFindings
from service.report import composition

V1 = "/v1/screenings"


def screened(client: TestClient, wait: Callable[..., None], rows: list[Any]) -> Any:
    here = client.post(V1, json={"rows": rows}).headers["location"]
    wait(lambda: client.get(here).json()["status"] == "finished")
    return client.get(here).json()["links"]


def test_a_page_says_what_the_report_does_not_list(
    client: TestClient,
    row: Callable[..., Any],
    wait: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [row("BAD 1"), row("BAD 2"), row("BAD 3")]
    whole = client.get(screened(client, wait, rows)["findings"]).json()
    assert (whole["total"], whole["finding_count"], whole["truncated"]) == (3, 3, False)
    monkeypatch.setattr(composition, "MAX_FINDINGS", 2)
    links = screened(client, wait, rows)
    cut = client.get(links["findings"], params={"limit": 1}).json()
    assert (cut["total"], cut["finding_count"], cut["truncated"]) == (2, 3, True)
    none = client.get(links["findings"], params={"detector": "none"}).json()
    assert (none["total"], none["finding_count"], none["truncated"]) == (0, 3, True)
    report = client.get(links["report"])
    _check_kept_as_in_the_report(client, report.headers["etag"], report.json())
    _check_recent_ones_are_kept(report.content)
    assert client.delete(links["self"]).status_code == 204
    assert client.get(links["findings"]).status_code == 404


def _check_kept_as_in_the_report(client: TestClient, etag: str, report: Any) -> None:
    """The route has kept what it read, so that it is not read again."""

    def gone() -> bytes:
        raise AssertionError("read again")

    kept = context_of(client.app).findings.get(etag.strip('"'), gone)
    sections = [found.section().model_dump(mode="json") for found in kept.findings]
    assert sections == report["findings"]


def _check_recent_ones_are_kept(content: bytes) -> None:
    """The one not asked for longest goes first, by number and by size."""
    read: list[str] = []

    def ask(recent: RecentFindings, name: str) -> None:
        def content_of() -> bytes:
            read.append(name)
            return content

        assert recent.get(name, content_of) == Listed.of(content)

    recent = RecentFindings(max_reports=2)
    for name in "abacab":
        ask(recent, name)
    assert read == ["a", "b", "c", "b"]
    read.clear()
    small = RecentFindings(max_bytes=2 * Listed.of(content).size - 1)
    for name in "aabba":
        ask(small, name)
    assert read == ["a", "b", "a"]
    _check_none_is_kept_for_long(content)


def _check_none_is_kept_for_long(content: bytes) -> None:
    now = [0.0]
    recent = RecentFindings(clock=lambda: now[0])
    read: list[float] = []

    def content_of() -> bytes:
        read.append(now[0])
        return content

    for now[0] in (0.0, KEPT_SECONDS, KEPT_SECONDS + 1.0):
        recent.get("a", content_of)
    assert read == [0.0, KEPT_SECONDS + 1.0]
