import json
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmark import service_load
from benchmark.service_load import Posted, dataset, faults, main, results

QUICK = [Posted(f"scr_{n}", n / 1_000) for n in range(101)]
SLOW = [Posted(f"scr_{n}", n / 100) for n in range(101)]
STATES = ("finished", "running", "queued")


def stand(posted: Sequence[Posted], states: Sequence[str]) -> dict[str, dict[str, Any]]:
    given = enumerate(posted)
    return {each.id: {"status": states[n % len(states)]} for n, each in given}


def found(posted: Sequence[Posted], stand: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return results(posted, stand, 1.23, 4.56, {"api_peak": 99.0})


def test_no_row_is_in_two_datasets() -> None:
    rows = [set(dataset(number, 50).splitlines()) for number in range(3)]
    assert [len(each) for each in rows] == [50, 50, 50]
    assert len(set.union(*rows)) == 150
    assert set(json.loads(next(iter(rows[0])))) == {"prompt", "completion"}


def test_what_is_not_listed_any_more_is_lost() -> None:
    listed = {
        "scr_0": {"status": "finished"},
        "scr_1": {"status": "failed"},
        "scr_2": {"status": "running"},
        "scr_3": {"status": "queued"},
    }
    got = found([*QUICK, Posted("", 9.0)], listed)
    assert (got["accepted"], got["refused"], got["lost"]) == (101, 1, 97)
    assert (got["screened_to_the_end"], got["failed"]) == (1, 1)
    assert (got["running_at_the_end"], got["queued_at_the_end"]) == (1, 1)
    assert got["accept_seconds"]["p50"] == pytest.approx(0.05)
    assert got["accept_seconds"]["p99"] == pytest.approx(0.099)
    assert got["accept_seconds"]["max"] == pytest.approx(0.1)
    assert got["memory_mebibytes"] == {"api_peak": 99.0}


def test_what_is_refused_lost_failed_or_slow_is_a_fault_and_what_waits_is_none() -> (
    None
):
    good = stand(QUICK, STATES)
    failed = {**good, "scr_7": {"status": "failed"}}
    lost = {id_: each for id_, each in good.items() if id_ != "scr_7"}
    assert faults(found(QUICK, good)) == []
    assert faults(found(QUICK, failed)) == ["1 failed"]
    assert faults(found(QUICK, lost)) == ["1 lost"]
    assert faults(found([*QUICK, Posted("", 0.1)], good)) == ["1 refused"]
    (slow,) = faults(found(SLOW, stand(SLOW, STATES)))
    assert slow == "p99 of the 202 is 0.99 s, not below 0.5 s"


def test_half_a_second_itself_is_too_slow() -> None:
    same = [Posted(f"scr_{n}", 0.5) for n in range(5)]
    assert len(faults(found(same, stand(same, STATES)))) == 1
    under = [Posted(f"scr_{n}", 0.4999) for n in range(5)]
    assert faults(found(under, stand(under, STATES))) == []


def test_a_run_in_which_nothing_was_accepted_has_a_record_and_faults() -> None:
    got = found([Posted("", 0.1)], {})
    assert got["accept_seconds"] == {}
    assert len(faults(got)) == 2


@pytest.mark.parametrize(("posted", "code"), [(QUICK, 0), (SLOW, 1)])
def test_a_run_with_a_fault_exits_1_once_its_record_is_written(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    posted: list[Posted],
    code: int,
) -> None:
    made = found(posted, stand(posted, STATES))
    monkeypatch.setattr(service_load, "measure", lambda *given: made)
    assert main(["--results", str(tmp_path)]) == code
    (path,) = tmp_path.iterdir()
    kept = json.loads(path.read_text("utf-8"))["results"]
    assert kept["screened_to_the_end"] + kept["queued_at_the_end"] > 60
    assert ("FAILED: p99" in capsys.readouterr().out) == bool(code)


class Refusing:
    """An API that accepts some, refuses others, and ends in between."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked == 2:
            return httpx.Response(503, json={"code": "queue_full"})
        if self.asked == 3:
            raise httpx.ConnectError("gone")
        return httpx.Response(202, json={"id": f"scr_{self.asked}"})


def test_what_is_not_accepted_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = httpx.MockTransport(Refusing())

    @contextmanager
    def client(**given: Any) -> Any:
        with real(**given, transport=transport) as made:
            yield made

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", client)

    class Here:
        url = "http://service"

    posted = service_load.submit(Here(), 1, [b"{}\n"] * 4)  # type: ignore[arg-type]
    assert [each.id for each in posted] == ["scr_1", "", "", "scr_4"]
