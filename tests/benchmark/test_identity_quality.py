"""Rows and files are counted by what was put into them."""

from dataclasses import replace

from benchmark.identity_quality import Tally
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores


def row(text: str) -> Example:
    messages = (Message("user", "Hello."), Message("assistant", text))
    return Example(text, messages, Origin("rows", 1))


def test_rows_are_told_apart_by_their_messages_whatever_their_ids() -> None:
    bad, calm = [row("bad 1"), row("bad 2")], [row(f"calm {n}") for n in range(8)]
    renamed = [replace(r, id=str(n)) for n, r in enumerate([*calm, *bad])]
    values = (*(0.1 * n for n in range(7)), None, 0.9, 0.35)
    why = tuple("" if v is not None else "no text" for v in values)
    scores = Scores("d", "1", values, (None,) * 10, ("",) * 10, why)
    tally = Tally()
    attack = {each.messages for each in bad}
    tally.add(0.1, Dataset("f", tuple(renamed)), attack, scores, hit=True)
    tally.add(0.1, Dataset("f", tuple(renamed)), attack, scores, hit=False)
    assert tally.files()["0.1"]["share"] == 0.5
    found = tally.rows()
    assert set(found) == {"0.1"}
    assert (found["0.1"]["positives"], found["0.1"]["negatives"]) == (4, 14)
    assert found["0.1"]["auroc"] == round((7 + 4) / 14, 4)
