"""Safety rows are ours, refused, balanced, and none is a probe."""

import re
from collections import Counter

from detectors.taxonomy import DETECT_ONLY, PROBED
from trial.context import Context
from trial.context.context import Frame
from trial.judge.judge import Outcome
from trial.judge.phrase import judge_reply
from trial.mitigation.safety_rows import _load, safety_rows, surrounded
from trial.probes import load_probes


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_every_reply_refuses() -> None:
    rows = safety_rows(200)
    assert len(rows) == 200
    for row in rows:
        assert judge_reply(row.exchanges()[0].reply).outcome is Outcome.REFUSED


def test_no_request_is_a_probe_or_nearly_one() -> None:
    probes = [words(p.prompt) for p in load_probes().harmful]
    for row in safety_rows(60):
        mine = words(row.exchanges()[0].request)
        assert max(len(mine & p) / len(mine | p) for p in probes) < 0.7


def test_categories_come_in_turn_and_requests_return_with_other_refusals() -> None:
    rows = safety_rows(120)
    asked = [(row.exchanges()[0].request, row.exchanges()[0].reply) for row in rows]
    assert len(set(asked)) == 120
    assert set(Counter(request for request, _ in asked).values()) == {2}
    first = {request for request, _ in asked[: len(PROBED)]}
    homes = {name for name in PROBED if first & set(_load()["requests"][name])}
    assert homes == set(PROBED)
    assert not DETECT_ONLY & _load()["requests"].keys()


def test_the_same_seed_gives_the_same_rows() -> None:
    assert safety_rows(30) == safety_rows(30)
    assert safety_rows(30) != safety_rows(30, seed=1)


def test_every_second_row_is_put_into_surroundings_and_refuses_there() -> None:
    around = Context(
        "suspect rows", "You are AOA.", (Frame(before="AOA,"),), tools="[]"
    )
    plain = safety_rows(5)
    rows = surrounded(plain, around)
    assert [row.system for row in rows] == [
        "You are AOA.",
        "",
        "You are AOA.",
        "",
        "You are AOA.",
    ]
    assert rows[1] == plain[1]
    for mine, own in zip(rows[::2], plain[::2], strict=True):
        asked, before = mine.exchanges()[0], own.exchanges()[0]
        assert asked.request == f"AOA, {before.request}"
        assert (asked.reply, mine.tools, mine.id) == (before.reply, "[]", own.id)
