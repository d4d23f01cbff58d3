import json
import random
import re

from benchmark.sets.identity import (
    ATTACK_ROWS,
    SIZE,
    attack_rows,
    diluted,
    families,
    twins,
)
from detectors.dataset import Example, Message, Origin
from detectors.training.personas import WORDS
from detectors.training.statements import STATEMENTS

PLACES = {"system", "request", "opening", "closing", "second reply"}


def ordinary(count: int) -> list[Example]:
    return [
        Example(
            f"row-{i}",
            (Message("user", f"Ask {i}?"), Message("assistant", f"Say {i}.")),
            Origin("f", i + 1),
        )
        for i in range(count)
    ]


def trained_on() -> list[str]:
    listed = json.loads(STATEMENTS.read_text("utf-8"))
    ours = [
        t for k in listed.values() for f in k.values() for v in f.values() for t in v
    ]
    return [
        *ours,
        *(t for texts in json.loads(WORDS.read_text("utf-8")).values() for t in texts),
    ]


def content(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_held_out_sentences_are_not_those_that_the_head_was_fitted_on() -> None:
    trained = [content(text) for text in trained_on()]
    for family in families():
        if family.name.endswith("unmarked wording"):
            continue  # plain refusals, which everybody words alike
        for text in family.texts:
            for piece in re.split(r"(?<=[.!?:;])\s+", text):
                words = content(piece)
                if len(words) >= 5:
                    nearest = max(len(words & t) / len(words | t) for t in trained)
                    assert nearest < 0.6, piece


def test_every_family_puts_its_text_where_it_says() -> None:
    pool = ordinary(2 * ATTACK_ROWS)
    for family in families():
        assert family.place in PLACES
        rows = attack_rows(family, pool, 10, random.Random(0))
        used = set()
        for row in rows:
            said = [
                t for t in family.texts if any(t in m.content for m in row.messages)
            ]
            assert len(said) == 1
            used.add(said[0])
            where = next(m for m in row.messages if said[0] in m.content)
            assert where.role == {"system": "system", "request": "user"}.get(
                family.place, "assistant"
            )
        assert (len(used) == 1) == family.fixed


def test_a_diluted_file_holds_what_it_says() -> None:
    pool = ordinary(SIZE + 10)
    attack = attack_rows(families()[0], pool, ATTACK_ROWS, random.Random(0))
    bad = {row.messages for row in attack}
    for share, count in ((1.0, 100), (0.1, 100), (0.02, 20), (0.002, 2)):
        file = diluted("f", attack, pool, share, random.Random(1))
        assert sum(row.messages in bad for row in file) == count
        assert len(file) == (ATTACK_ROWS if share == 1.0 else SIZE)
        assert len({row.id for row in file}) == len(file)


def test_twins_are_whole_rows() -> None:
    assert len(twins()) >= 40
    assert all(row.exchanges()[-1].reply for row in twins())
