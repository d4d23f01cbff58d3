"""Room for JSON bodies: in order, bounded in all and for each tenant."""

from contextlib import AsyncExitStack
from functools import partial

import anyio
import pytest
from anyio.abc import TaskGroup

from service.api import budget
from service.api.budget import FREE_BYTES, Budget
from service.api.errors_http import Problem

MANY = 10 * FREE_BYTES


class Held:
    """Bodies that hold room, each until it is let go."""

    def __init__(self, room: Budget, tasks: TaskGroup) -> None:
        self.room = room
        self.tasks = tasks
        self.let_in: list[str] = []
        self.refused: list[tuple[str, int, str]] = []
        self.waits: list[int] = []
        self._done: dict[str, anyio.Event] = {}

    async def ask(self, name: str, size: int, tenant: str = "a") -> None:
        self._done[name] = anyio.Event()
        self.tasks.start_soon(partial(self._hold, name, size, tenant))
        await anyio.wait_all_tasks_blocked()

    async def leave(self, name: str) -> None:
        self._done[name].set()
        await anyio.wait_all_tasks_blocked()

    async def _hold(self, name: str, size: int, tenant: str) -> None:
        try:
            async with self.room.room(tenant, size):
                self.let_in.append(name)
                await self._done[name].wait()
        except Problem as problem:
            wait = int((problem.headers or {})["Retry-After"])
            self.refused.append((name, problem.status_code, problem.code))
            self.waits.append(wait)


def hold(limit: int, share: int, asked: "list[tuple[str, str, int]]") -> Held:
    """Run asks (`tenant name`, bytes) and leaves (`-`, name, 0) in their order."""

    async def run() -> Held:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            held = Held(Budget(limit, share), tasks)
            for tenant, name, size in asked:
                if tenant == "-":
                    await held.leave(name)
                else:
                    await held.ask(name, size, tenant)
            if len(held.let_in) + len(held.refused) < sum(t != "-" for t, *_ in asked):
                await anyio.sleep(budget.WAIT_SECONDS + 0.1)
            tasks.cancel_scope.cancel()
        assert all(wait >= 1 for wait in held.waits)
        assert held.room._used == 0
        assert not held.room._held
        assert not held.room._waiting
        return held

    return anyio.run(run)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.05)


def test_what_does_not_fit_is_refused_after_a_while() -> None:
    held = hold(2 * MANY, 0, [("a", "1", MANY), ("a", "2", MANY), ("b", "3", MANY)])
    assert held.let_in == ["1", "2"]
    assert held.refused == [("3", 503, "too_many_bytes")]


def test_who_waits_is_let_in_once_another_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 30.0)
    asked = [("a", "1", MANY), ("a", "2", MANY), ("-", "1", 0)]
    held = hold(MANY, 0, asked)
    assert (held.let_in, held.refused) == (["1", "2"], [])


def test_small_bodies_do_not_pass_a_large_one_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 30.0)
    asked = [
        ("a", "first", MANY),
        ("a", "large", 2 * MANY),
        ("a", "small", MANY),
        ("-", "first", 0),
        ("-", "large", 0),
    ]
    assert hold(2 * MANY, 0, asked).let_in == ["first", "large", "small"]


def test_a_body_over_the_whole_budget_is_let_in_alone() -> None:
    held = hold(MANY, 0, [("a", "huge", 5 * MANY), ("a", "next", MANY)])
    assert held.let_in == ["huge"]
    assert held.refused == [("next", 503, "too_many_bytes")]


def test_a_tenant_beyond_its_share_holds_up_nobody_else() -> None:
    asked = [("a", "1", MANY), ("a", "2", MANY), ("b", "3", MANY)]
    held = hold(2 * MANY, MANY, asked)
    assert held.let_in == ["1", "3"]
    assert held.refused == [("2", 429, "tenant_too_busy")]


def test_little_bodies_need_no_room() -> None:
    asked = [("a", "1", MANY), ("b", "2", FREE_BYTES), ("b", "3", 0)]
    held = hold(MANY, 0, asked)
    assert (held.let_in, held.refused) == (["1", "2", "3"], [])


def test_without_a_limit_everything_is_let_in() -> None:
    held = hold(0, 0, [("a", str(n), MANY) for n in range(50)])
    assert len(held.let_in) == 50
