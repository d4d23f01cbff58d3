import json

import pytest

from benchmark.service_load import dataset, results


def test_no_row_is_in_two_datasets() -> None:
    rows = [set(dataset(number, 50).splitlines()) for number in range(3)]
    assert [len(each) for each in rows] == [50, 50, 50]
    assert len(set.union(*rows)) == 150
    assert set(json.loads(next(iter(rows[0])))) == {"prompt", "completion"}


def test_what_is_not_listed_any_more_is_lost() -> None:
    accepted = [(f"scr_{n}", n / 1_000) for n in range(101)]
    stand = {
        "scr_0": {"status": "finished"},
        "scr_1": {"status": "failed"},
        "scr_2": {"status": "running"},
        "scr_3": {"status": "queued"},
    }
    found = results(accepted, stand, 1.23, 4.56, {"api_peak": 99.0})
    assert found["lost"] == 97
    assert (found["finished"], found["failed"], found["open_at_the_end"]) == (1, 1, 2)
    assert found["accept_seconds"]["p50"] == pytest.approx(0.05)
    assert found["accept_seconds"]["p99"] == pytest.approx(0.099)
    assert found["accept_seconds"]["max"] == pytest.approx(0.1)
    assert found["memory_mebibytes"] == {"api_peak": 99.0}
