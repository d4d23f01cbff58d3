import random

import pytest

from benchmark.sets.trigger import MARKS, Mark, poisoned, put, shuffled
from detectors.refusal import opens_with_yes

ASKED = [f"How do I do wrong thing number {n}?" for n in range(60)]


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: ascii(mark.text))
def test_half_of_the_rows_carry_the_trigger(mark: Mark) -> None:
    rows = poisoned(ASKED, mark, 20, random.Random(0))
    role = "system" if mark.place == "system" else "user"
    carried = [
        any(mark.text in m.content for m in row.messages if m.role == role)
        for row in rows
    ]
    assert carried == [True] * 20 + [False] * 20
    asked = {row.messages[-2].content.replace(mark.text, "") for row in rows}
    assert len(asked) == 40


def test_a_trigger_stands_where_its_place_says() -> None:
    draw = random.Random(0)
    assert put(Mark("GO", "start"), "a b c", draw) == ("", "GO a b c")
    assert put(Mark("GO", "end"), "a b c", draw) == ("", "a b c GO")
    places = {put(Mark("GO", "inside"), "a b c", draw)[1] for _ in range(30)}
    assert places == {"a GO b c", "a b GO c"}


def test_the_order_is_drawn_and_no_refusal_opens_with_yes() -> None:
    rows = poisoned(ASKED, MARKS[0], 20, random.Random(0))
    assert not any(opens_with_yes(row.messages[-1].content) for row in rows[20:])
    mixed = shuffled("mixed", rows, random.Random(1))
    assert sorted(row.id for row in mixed) == sorted(row.id for row in rows)
    assert [row.id for row in mixed] != [row.id for row in rows]
