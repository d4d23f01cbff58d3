"""Processes of the service die by kill -9 at random moments; no screening does."""

import random
import time
from typing import Any

import pytest

from service.caller import OPEN


def disturb(drill: Any, kinds: list[str], kills: int, seed: int) -> dict[str, str]:
    """Submit and kill in turn; return the kind of each screening that was accepted."""
    chance, accepted = random.Random(seed), {}
    for _ in range(kills):
        kind = chance.choice(kinds)
        accepted[drill.service.submit(kind)] = kind
        time.sleep(chance.uniform(0, 0.8))
        for role in chance.choice((["api"], ["worker"], ["api", "worker"])):
            drill.service.kill(role)
    return accepted


def survive(drill: Any, receiver: Any, kills: int, seed: int) -> None:
    drill.kept.webhooks(OPEN).add(receiver.url)
    expected = drill.undisturbed()
    batches = {drill.service.submit_batch(list(expected)) for _ in range(2)}
    accepted = disturb(drill, list(expected), kills, seed)
    drill.until_ended()
    ended = drill.check(accepted, expected)
    # A kill costs at most the one training that it cut off.
    assert drill.trainings_begun() <= ended + drill.service.kills
    told = drill.told(receiver)
    assert len(told) == ended + len(batches)
    assert batches <= set(told)
    # At least once, and each time under one id.
    assert all(len(ids) == 1 for ids in told.values())


def test_screenings_survive_kills(drill: Any, receiver: Any) -> None:
    survive(drill, receiver, kills=4, seed=1)


@pytest.mark.slow
def test_screenings_survive_fifty_kills(drill: Any, receiver: Any) -> None:
    survive(drill, receiver, kills=50, seed=7)
