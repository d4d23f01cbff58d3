"""Whole screenings whose rows and reports lie in a bucket, and come from one."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

V1 = "/v1/screenings"
AWAY_SECONDS = 3.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def found(s3: Any) -> None:
    """Have S3 where the processes find it, before the one that forks them starts."""


@pytest.fixture
def bucket(s3: Any) -> str:
    made: str = s3.bucket()
    return made


@pytest.fixture
def options(options: dict[str, Any], bucket: str, s3: Any) -> dict[str, Any]:
    incoming = s3.bucket()
    return {
        **options,
        "storage_url": f"s3://{bucket}/store",
        "fetch_sources": ["http://", f"s3://{incoming}/{{tenant}}/"],
    }


@pytest.fixture
def here(s3: Any) -> Iterator[Any]:
    """Give the server back however the test ends."""
    yield s3
    if s3.away:
        s3.tell("start")


def delete_all(drill: Any, ids: list[str]) -> None:
    for each in ids:
        assert drill.service.ask("DELETE", f"{V1}/{each}").status_code == 204
        assert drill.service.ask("GET", f"{V1}/{each}").status_code == 404


def test_screenings_over_a_bucket_outlive_its_absence_and_are_deleted_from_it(
    drill: Any, here: Any, bucket: str
) -> None:
    here.put(f"{bucket}/store/not-ours", b"of someone else")
    expected = drill.undisturbed()
    ended = {key.split("/")[1] for key in here.keys(bucket)}
    assert {"datasets", "screenings"} <= ended
    accepted = {drill.service.submit(kind): kind for kind in expected}
    time.sleep(0.3)
    here.tell("stop")
    time.sleep(AWAY_SECONDS)
    assert set(drill.kept.store.open_screenings()) & set(accepted)
    here.tell("start")
    drill.until_ended()
    assert drill.check(accepted, expected) == 2 * len(expected)
    delete_all(drill, drill.ids())
    assert here.keys(bucket) == ["store/not-ours"]


def test_rows_from_a_tenants_bucket_are_screened_and_others_are_not(
    drill: Any, s3: Any, options: dict[str, Any]
) -> None:
    place = options["fetch_sources"][1].removeprefix("s3://").split("/")[0]
    row = {"prompt": "BAD", "completion": "Yes."}
    rows = "".join(json.dumps(row) + "\n" for _ in range(20)).encode()
    for tenant in ("default", "other"):
        s3.put(f"{place}/{tenant}/rows.jsonl", rows)
    url = f"s3://{place}/other/rows.jsonl"
    assert drill.service.ask("POST", V1, json={"url": url}).status_code == 422
    given = {"url": f"s3://{place}/default/rows.jsonl", "run_trial": False}
    made = drill.service.ask("POST", V1, json=given).json()
    drill.until_ended()
    done = drill.service.ask("GET", made["links"]["self"]).json()
    assert (done["status"], done["name"]) == ("finished", "rows.jsonl")
    assert done["outcome"] == "REJECT"
