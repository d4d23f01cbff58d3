"""Processes of the service die by kill -9 in every stage; no screening does.

A moment is drawn within a stage: some screening is waited for to be at one of its items
of work, and the process at work on it dies a random while later, now and then with the
API.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from service.caller import OPEN
from service.policy import DetectorLimits

log = logging.getLogger(__name__)

V1 = "/v1/screenings"
ALONE = ("explicit_harm", "identity_shift")
"""Detectors that score their rows chunk by chunk."""

STAGES = {
    "upload": 1,
    "fetch": 1,
    "read": 1,
    **{name: 3 if name in ALONE else 1 for name in DetectorLimits.model_fields},
    "moderate": 5,
    "tune": 8,
    "report": 1,
}
"""Each with its items of work: chunks, batches, steps of the training."""

ITEM_SECONDS = 0.03
FETCH_SECONDS = 0.2

WITH_API = 0.25
"""Of so many kills the API is another victim."""

FILE = "uploaded"
"""The kind of dataset that comes as a file."""

CUT = b"--cut\r\ncontent-disposition: form-data; "
FORM = {"content-type": "multipart/form-data; boundary=cut"}


POSTGRES_FIRST = pytest.mark.parametrize(
    "database_url",
    [
        pytest.param("sqlite", marks=pytest.mark.slow),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ],
    indirect=True,
)
"""The database of a service of several processes; the other is a slow test."""


@pytest.fixture
def options(options: dict[str, Any], moderated: dict[str, Any]) -> dict[str, Any]:
    # Who is killed is seen to be gone; nobody is dead for silence on a busy machine.
    return {**options, **moderated, "lease_seconds": 120.0}


@pytest.fixture
def roles() -> dict[str, list[str]]:
    return {"detect": ["ingest", "detect"], "trial": ["trial"], "api": []}


@dataclass
class Killer:
    """Kills processes of a drill, and knows what each was at work on."""

    drill: Any
    chance: random.Random
    first: int = 0
    strikes: int = 0
    accepted: dict[str, str] = field(default_factory=dict)
    hit: Counter[str] = field(default_factory=Counter)

    def submit(self, kind: str) -> None:
        self.accepted[self.drill.service.submit(kind)] = kind

    def strike(self, stage: str, kinds: list[str]) -> None:
        """Submit something, and kill within a stage."""
        self.strikes += 1
        if stage == "upload":
            self.cut_upload()
            self.submit(FILE)
            return
        role = ""
        while not role:
            self.submit("linked" if stage == "fetch" else self.chance.choice(kinds))
            first = min(self.first, STAGES[stage] - 1)
            role = self.await_stage(stage, self.chance.randrange(first, STAGES[stage]))
        seconds = FETCH_SECONDS if stage == "fetch" else ITEM_SECONDS
        time.sleep(self.chance.uniform(0, seconds))
        left = self.drill.log.open(self.drill.service.kill(role))
        self.hit.update({line.stage for line in left})
        if self.chance.random() < WITH_API:
            self.drill.service.kill("api")

    def await_stage(self, stage: str, item: int = 0) -> str:
        """Return who is at work in a stage, at that item or behind it.

        "" where all is over and nobody was seen there.
        """
        look = 0.0
        while True:
            for role, pid in self.drill.service.living.items():
                for line in self.drill.log.open(pid):
                    if line.stage == stage and self.begun(line) > item:
                        return str(role)
            if time.monotonic() > look:
                look = time.monotonic() + 0.5
                if not self.drill.kept.store.open_screenings():
                    return ""
            time.sleep(0.003)

    def begun(self, line: Any) -> int:
        """Count the items of a stage that a screening has come to."""
        items = self.drill.log.items(line.screening)
        return sum(item.split()[0] == line.stage for item in items)

    def cut_upload(self) -> None:
        """Kill the API while a form arrives."""
        objects = self.drill.kept.store.objects
        self.drill.service.ask("GET", "/healthz")  # it is up
        before = set(objects.keys("incoming"))

        def form() -> Iterator[bytes]:
            yield CUT + b'name="file"; filename="cut.jsonl"\r\n\r\n{"prompt": "Wh'
            self.drill.wait(lambda: set(objects.keys("incoming")) - before, 20)
            time.sleep(self.chance.uniform(0, ITEM_SECONDS))
            self.drill.service.kill("api")
            self.hit["upload"] += 1
            yield b'ere?", "completion": "There."}\r\n--cut--\r\n'

        with suppress(httpx.TransportError):
            answer = self.drill.service.http.post(V1, content=form(), headers=FORM)
            raise AssertionError(f"half a form was answered: {answer.status_code}")

    def next_stage(self, stages: list[str]) -> str:
        """Draw a stage among those that were hit least."""
        least = min(self.hit[stage] for stage in stages)
        return self.chance.choice([s for s in stages if self.hit[s] == least])


def reruns(drill: Any) -> Counter[str]:
    """Count what was begun again, by stage: at most once more for each kill at it.

    Whoever began an item that another begins again was killed, before it began anything
    further of that screening: what lies behind it is not done again.
    """
    begun: dict[tuple[str, str], list[int]] = {}
    last: dict[tuple[int, str], str] = {}
    stages: Counter[str] = Counter()
    for line in drill.log.lines():
        if line.what == "begun":
            begun.setdefault((line.screening, line.item), []).append(line.pid)
            last[line.pid, line.screening] = line.item
    for (screening, item), pids in begun.items():
        assert len(set(pids)) == len(pids), (screening, item)
        for pid in pids[:-1]:
            assert pid in drill.service.killed, (screening, item)
            assert last[pid, screening] == item
        stages[item.split()[0]] += len(pids) - 1
    return +stages


def assert_telling(expected: dict[str, Any]) -> None:
    """A report shows whether each row was moderated, and each step trained."""
    for report in expected.values():
        said = report["moderation"]
        assert (said["provider"], said["rows_asked"]) == ("openai", 20)
        assert said["not_moderated"] == 0
        assert (
            "trial.weights" in report["versions"]
        )  # they stand for every training step
    assert expected["explicit"]["moderation"]["flagged"] == 12


def assert_whole(drill: Any) -> None:
    """Nothing was left out: each screening went through the same items of work."""
    found = {frozenset(drill.log.items(each) - {"fetch"}) for each in drill.ids()}
    assert len(found) == 1
    (items,) = found
    stages = Counter(item.split()[0] for item in items)
    assert stages == {
        **dict.fromkeys(DetectorLimits.model_fields, 1),
        **dict.fromkeys(ALONE, 3),
        **{"read": 1, "moderate": 5, "tune": 8, "report": 1},
    }


def survive(
    drill: Any,
    receiver: Any,
    kills: int,
    stages: list[str],
    kinds: list[str],
    first: int,
) -> Killer:
    """Kill so often, and on until each of the stages was hit.

    Of a stage the `first` items are let pass, where it has so many.
    """
    drill.kept.webhooks(OPEN).add(receiver.url)
    expected = drill.undisturbed(kinds)
    assert_telling(expected)
    batch = drill.service.submit_batch([kind for kind in expected if kind != FILE])
    killer = Killer(drill, random.Random(7), first)
    while killer.strikes < kills or not all(killer.hit[each] for each in stages):
        assert killer.strikes < 2 * kills, f"hit: {killer.hit}"
        killer.strike(killer.next_stage(stages), list(expected))
    drill.until_ended()
    ended = drill.check(killer.accepted, expected)
    assert_whole(drill)
    told = drill.told(receiver)
    assert len(told) == ended + 1
    assert batch in told
    # At least once, and each time under one id.
    assert all(len(ids) == 1 for ids in told.values())
    return killer


@POSTGRES_FIRST
def test_screenings_survive_kills(drill: Any, receiver: Any) -> None:
    stages = ["upload", "explicit_harm", "moderate", "tune"]
    kinds = ["explicit", "linked", FILE]
    survive(drill, receiver, 4, stages, kinds, first=1)
    assert set(reruns(drill)) <= set(STAGES)


@pytest.mark.slow
def test_screenings_survive_fifty_kills_in_every_stage(
    drill: Any, receiver: Any
) -> None:
    began = time.monotonic()
    killer = survive(drill, receiver, 50, list(STAGES), [], first=0)
    again = reruns(drill)
    assert killer.strikes >= 50
    assert all(killer.hit[stage] for stage in STAGES)
    log.info(
        "%d moments, %d processes killed, %d screenings, %.0f s; hit: %s; again: %s",
        killer.strikes,
        len(drill.service.killed),
        len(drill.ids()),
        time.monotonic() - began,
        dict(killer.hit),
        dict(again),
    )


@POSTGRES_FIRST
@pytest.mark.parametrize(
    "roles",
    [
        {
            "detect": ["ingest", "detect"],
            "detect, too": ["ingest", "detect"],
            "trial": ["trial"],
            "trial, too": ["trial"],
            "api": [],
        }
    ],
)
def test_a_peer_goes_on_with_what_a_killed_worker_left(drill: Any) -> None:
    calm = drill.service.submit("harmless")
    drill.until_ended()
    killer, service = Killer(drill, random.Random(7)), drill.service
    api = service.living["api"]
    struck = service.submit("harmless")
    for stage in ("identity_shift", "tune"):
        service.kill(killer.await_stage(stage), again=False)
    drill.until_ended()
    assert drill.verdict(struck) == drill.verdict(calm)
    assert_whole(drill)
    reruns(drill)
    workers = {line.pid for line in drill.log.lines(struck)}
    assert workers == {*service.killed, *service.living.values()} - {api}
