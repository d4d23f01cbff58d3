"""A provider that is slow, fails, or is away costs a bounded number of tries."""

import time
from typing import Any

import pytest

from detectors.moderation.ledger import Budget
from tests.detectors.moderation.subjects import SAFE, Make, flags, numbered


def test_retry_after_is_honoured(make: Make, provider: Any, answers: Any) -> None:
    provider.script = lambda n, asked: (
        answers.problem(429, Retry_After="0.3")
        if n == 0
        else answers.moderations(asked)
    )
    assert flags(make().moderate([SAFE])) == [False]
    assert provider.times[1] - provider.times[0] >= 0.3


def test_one_retry_after_holds_every_connection_back(
    make: Make, provider: Any, answers: Any
) -> None:
    def script(n: int, asked: dict[str, Any]) -> Any:
        if n == 0:
            return answers.problem(429, retry_after_ms="600")
        return answers.raw(answers.moderations(asked).body, seconds=0.2)

    provider.script = script
    said = make(batch_parts=1, connections=4).moderate(numbered(8))
    assert None not in flags(said)
    first, *_, last_in_flight = provider.times[:4]
    assert last_in_flight - first < 0.6
    assert all(asked - first >= 0.6 for asked in provider.times[4:])


def test_a_retry_after_beyond_patience_is_not_waited_for(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: answers.problem(429, Retry_After="3600")
    began = time.monotonic()
    said = make().moderate([SAFE])
    assert time.monotonic() - began < 60
    assert said.reasons == ("the provider answered 429",)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503])
def test_passing_troubles_are_tried_again(
    make: Make, provider: Any, answers: Any, status: int
) -> None:
    provider.script = lambda n, asked: (
        answers.problem(status) if n < 2 else answers.moderations(asked)
    )
    said = make().moderate([SAFE])
    assert flags(said) == [False]
    assert said.usage.requests == 3


def test_waits_double(make: Make, provider: Any, answers: Any) -> None:
    provider.script = lambda n, asked: answers.problem(500)
    said = make(first_wait_seconds=0.1).moderate([SAFE])
    assert said.reasons == ("the provider answered 500",)
    gaps = [b - a for a, b in zip(provider.times, provider.times[1:], strict=False)]
    assert len(gaps) == 3
    assert all(gap >= least for gap, least in zip(gaps, (0.05, 0.1, 0.2), strict=True))


def test_one_refused_text_does_not_take_others_with_it(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: (
        answers.problem(400, "invalid_input")
        if "fine 2" in asked["input"]
        else answers.moderations(asked)
    )
    said = make(batch_parts=8).moderate(numbered(8, bad=[5]))
    assert flags(said) == [False, False, None, False, False, True, False, False]
    assert said.reasons[2] == "the provider answered 400 (invalid_input)"


def test_one_refused_text_among_many_leaves_a_provider_up(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: (
        answers.problem(400)
        if "BAD 3" in asked["input"]
        else answers.moderations(asked)
    )
    said = make(batch_parts=32, connections=1).moderate(numbered(80, bad=[3]))
    assert flags(said) == [None if n == 3 else False for n in range(80)]


def test_many_refused_texts_in_a_row_do_not_stop_the_others(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: (
        answers.problem(400) if "BAD" in str(asked) else answers.moderations(asked)
    )
    made = make(batch_parts=1, connections=1)
    said = made.moderate(numbered(30, bad=range(20)))
    assert flags(said) == [None] * 20 + [False] * 10


def test_a_provider_that_answers_nonsense_is_not_asked_for_ever(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: answers.raw(b"not json")
    said = make(batch_parts=8, attempts=1, connections=1).moderate(numbered(100))
    assert flags(said) == [None] * 100
    assert len(provider.asked) < 20


def test_half_of_the_batches_may_fail(make: Make, provider: Any, answers: Any) -> None:
    def half(n: int, asked: dict[str, Any]) -> Any:
        number = int(asked["input"][0].split()[1])
        return answers.problem(500) if number % 2 else answers.moderations(asked)

    provider.script = half
    made = make(batch_parts=1, attempts=2, connections=1)
    said = made.moderate(numbered(12, bad=[4]))
    assert flags(said) == [None if n % 2 else n == 4 for n in range(12)]


def test_a_provider_that_is_down_is_not_asked_for_ever(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: answers.problem(503)
    said = make(batch_parts=1, attempts=2).moderate(numbered(100))
    assert flags(said) == [None] * 100
    assert set(said.reasons) == {"the provider answered 503"}
    assert said.usage.requests == len(provider.asked) < 20


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "invalid_api_key"), (404, ""), (429, "insufficient_quota")],
)
def test_wrong_settings_end_it_at_once_without_the_servers_words(
    make: Make, provider: Any, answers: Any, status: int, code: str
) -> None:
    provider.script = lambda n, asked: answers.problem(status, code)
    said = make(batch_parts=1, connections=1).moderate(numbered(20))
    assert len(provider.asked) == 1
    assert flags(said) == [None] * 20
    assert f"answered {status}" in said.reasons[0]
    assert "SECRET" not in str(said)
    assert "sk-test" not in str(said)


def test_nobody_listening_is_a_reason(make: Make, closed_url: str) -> None:
    said = make(base_url=closed_url, attempts=2).moderate(numbered(30))
    assert set(said.reasons) == {"the provider cannot be reached"}


def test_a_slow_answer_is_a_timeout(make: Make, provider: Any, answers: Any) -> None:
    provider.script = lambda n, asked: answers.raw({}, seconds=20.0)
    said = make(timeout_seconds=0.1, attempts=1).moderate([SAFE])
    assert said.reasons == ("the provider did not answer in time",)


def test_a_broken_body_is_tried_again(make: Make, provider: Any, answers: Any) -> None:
    cut = answers.raw({}, headers={"Content-Length": "999", "Connection": "close"})

    def script(n: int, asked: dict[str, Any]) -> Any:
        return cut if n == 0 else answers.moderations(asked)

    provider.script = script
    # The handler closes the connection after the short body.
    assert flags(make(timeout_seconds=1.0).moderate([SAFE])) == [False]


def test_a_redirect_is_not_followed(make: Make, provider: Any, answers: Any) -> None:
    elsewhere = {"Location": f"{provider.url}/moderations"}
    provider.script = lambda n, asked: answers.raw({}, 307, elsewhere)
    said = make().moderate([SAFE])
    assert len(provider.asked) == 1
    assert "redirects" in said.reasons[0]


@pytest.mark.parametrize(
    ("budget", "asked", "reason"),
    [
        (Budget(requests=2), 2, "2 requests are used up"),
        (Budget(tokens=5), 2, "5 tokens would not suffice"),
        (Budget(seconds=0.0), 0, "0 seconds are over"),
    ],
)
def test_what_is_over_budget_is_not_sent(
    make: Make, provider: Any, budget: Budget, asked: int, reason: str
) -> None:
    made = make(budget, batch_parts=1, connections=1)
    said = made.moderate(numbered(6))
    assert len(provider.asked) == said.usage.requests == asked
    assert flags(said) == [False] * asked + [None] * (6 - asked)
    assert reason in said.reasons[-1]


def test_tries_count_against_the_budget(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: answers.problem(500)
    said = make(Budget(requests=3), attempts=10, connections=1).moderate(numbered(2))
    assert len(provider.asked) == 3
    assert "over budget: 3 requests" in said.reasons[0]


def test_the_time_ends_while_an_answer_is_awaited(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: answers.raw({}, seconds=20.0)
    began = time.monotonic()
    said = make(Budget(seconds=0.3)).moderate(numbered(20))
    assert time.monotonic() - began < 10
    assert set(said.reasons) == {"over budget: 0.3 seconds are over"}


def test_no_more_connections_than_allowed(
    make: Make, provider: Any, answers: Any
) -> None:
    def slow(n: int, asked: dict[str, Any]) -> Any:
        time.sleep(0.05)
        return answers.moderations(asked)

    provider.script = slow
    make(batch_parts=1, connections=3).moderate(numbered(12))
    assert 2 <= provider.most_at_once <= 3


class Stopped(Exception):
    pass


def test_progress_is_told_and_can_stop_the_work(
    make: Make, provider: Any, answers: Any
) -> None:
    told: list[tuple[str, int, int]] = []
    make().moderate(numbered(8), progress=lambda *step: told.append(step))
    assert told[-1] == ("moderation", 8, 8)

    def stop(stage: str, done: int, total: int) -> None:
        raise Stopped

    def slow_but_the_first(n: int, asked: dict[str, Any]) -> Any:
        body = answers.moderations(asked).body
        return answers.raw(body, seconds=0.0 if n == before else 20.0)

    before, provider.script = len(provider.asked), slow_but_the_first
    began = time.monotonic()
    with pytest.raises(Stopped):
        make(batch_parts=1).moderate(numbered(8), progress=stop)
    assert time.monotonic() - began < 10
