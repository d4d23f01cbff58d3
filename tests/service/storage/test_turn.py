"""Who waits first is let in first, and nobody is let in beside another."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from service.storage.turn import Turn


def started(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def waiting(turn: Turn) -> int:
    return len(turn._waiting)


def test_turns_are_taken_in_the_order_of_coming() -> None:
    turn, order = Turn(), list[int]()

    def take(number: int) -> None:
        with turn:
            order.append(number)

    threads = []
    with turn:
        for number in range(20):
            threads.append(started(partial(take, number)))
            end = time.monotonic() + 10
            while waiting(turn) <= number and time.monotonic() < end:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order == list(range(20))
    with turn:  # free again
        assert waiting(turn) == 0


def test_two_never_have_it_at_once() -> None:
    turn, inside, most = Turn(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turn:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    for thread in [started(work) for _ in range(6)]:
        thread.join(30)
    assert (most, inside) == (1, 0)


def test_an_error_gives_the_turn_back() -> None:
    turn = Turn()
    with pytest.raises(ValueError, match="mine"), turn:
        raise ValueError("mine")
    with turn:
        pass
