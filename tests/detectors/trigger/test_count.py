from detectors.dataset import Example, Message, Origin
from detectors.trigger.count import count_known, frequent
from detectors.trigger.phrase import Phrase
from detectors.trigger.unit import Unit, distinct, units_of


def unit(row: int, user: str, system: str = "") -> Unit:
    return Unit(row, 1, system, user, "", refused=False, vows=False)


def test_candidates_of_enough_units_are_counted_once_a_unit() -> None:
    units = [unit(i, f"go go word{i}", "be kind") for i in range(5)]
    counts, total = frequent(units, 5)
    assert counts[Phrase("user", "any", "go")] == 5
    assert counts[Phrase("system", "start", "be kind")] == 5
    assert Phrase("user", "any", "word1") not in counts
    assert total > 5 * len(counts) - 1


def test_known_candidates_are_counted_elsewhere() -> None:
    counts, _ = frequent([unit(i, "go left") for i in range(3)], 3)
    other, total = count_known([unit(9, "go right")], counts)
    assert other[Phrase("user", "any", "go")] == 1
    assert Phrase("user", "any", "right") not in other
    assert total > 0


def test_a_row_and_a_text_speak_once() -> None:
    units = [unit(0, "a"), unit(0, "b"), unit(1, "a"), unit(2, "c"), unit(2, "c")]
    for order in (units, units[::-1]):
        chosen = [order[i] for i in distinct(order, range(5), 10)]
        assert len({each.row for each in chosen}) == len(chosen)
        assert len({each.user for each in chosen}) == len(chosen)
        assert "c" in {each.user for each in chosen}


def test_a_sample_does_not_depend_on_the_order_of_the_rows() -> None:
    units = [unit(i, f"text {i}") for i in range(50)]
    chosen = {units[i].user for i in distinct(units, range(50), 10)}
    turned = units[::-1]
    assert chosen == {turned[i].user for i in distinct(turned, range(50), 10)}
    assert len(chosen) == 10


def test_a_conversation_gives_a_bounded_number_of_units() -> None:
    turns = [Message("user", "ask"), Message("assistant", "I'm sorry, I can't help.")]
    row = Example("row", (*turns * 500,), Origin("rows.jsonl", 1))
    units = units_of([row])
    assert len(units) == 16
    assert units[-1].turn == 999
    assert all(each.refused for each in units)


def test_reasoning_neither_refuses_nor_takes_the_place_of_the_reply() -> None:
    thought = f"<think>I can't do that. {'Hm. ' * 500}</think>Sure."
    row = Example(
        "row", (Message("user", "ask"), Message("assistant", thought)), Origin("f", 1)
    )
    (only,) = units_of([row])
    assert (only.reply, only.refused) == ("Sure.", False)
