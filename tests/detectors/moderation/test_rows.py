from collections.abc import Sequence

import pytest

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores
from detectors.moderation.local import Local
from detectors.moderation.moderator import Moderation, Subject, Usage, Verdict
from detectors.moderation.off import REASON, Off
from detectors.moderation.rows import MOST_CHARS, NO_REPLY, TOO_LONG, moderate_rows


class MarkModerator:
    """Flags BAD, gives no verdict on ODD, notes what it was shown."""

    name = "mark"
    model = "m"

    def __init__(self) -> None:
        self.shown: list[Subject] = []

    def moderate(
        self, subjects: Sequence[Subject], *, progress: object = None
    ) -> Moderation:
        self.shown = list(subjects)
        verdicts = tuple(self._verdict(subject.reply) for subject in subjects)
        reasons = tuple("odd" if v is None else "" for v in verdicts)
        return Moderation("mark", "m", verdicts, reasons, Usage(requests=1))

    def _verdict(self, text: str) -> Verdict | None:
        if "ODD" in text:
            return None
        return Verdict(True, 0.9) if "BAD" in text else Verdict(False, 0.1)


def row(*turns: tuple[str, str], rejected: str = "") -> Example:
    said = tuple(Message(role, text) for role, text in turns)  # type: ignore[arg-type]
    other = (Message("assistant", rejected),) if rejected else ()
    return Example("r", said, Origin("f", 1), rejected=other)


def chat(*replies: str) -> Example:
    turns = [t for r in replies for t in (("user", "Q"), ("assistant", r))]
    return row(*turns)


def test_a_row_is_as_grave_as_its_gravest_exchange() -> None:
    said = moderate_rows(MarkModerator(), [chat("a", "BAD", "c"), chat("d")])
    first, second = said.rows
    assert first.verdict is not None
    assert (first.verdict.flagged, first.turn) == (True, 3)
    assert second.verdict is not None
    assert not second.verdict.flagged


def test_an_exchange_without_a_verdict_leaves_the_row_without_one() -> None:
    clean, flagged = moderate_rows(
        MarkModerator(), [chat("a", "ODD"), chat("ODD", "BAD")]
    ).rows
    assert (clean.verdict, clean.reason) == (None, "odd")
    assert flagged.verdict is not None
    assert flagged.verdict.flagged


def test_a_row_without_a_reply_is_not_moderated() -> None:
    moderator = MarkModerator()
    rows = [row(("user", "hello")), row(("user", "x"), ("assistant", " \n"))]
    assert [r.reason for r in moderate_rows(moderator, rows).rows] == [NO_REPLY] * 2
    assert moderator.shown == []


def test_only_system_text_request_and_preferred_reply_are_shown() -> None:
    moderator = MarkModerator()
    example = row(
        ("system", "told"), ("user", "asked"), ("assistant", "said"),
        rejected="BAD other reply",
    )  # fmt: skip
    assert moderate_rows(moderator, [example]).rows[0].reason == ""
    assert moderator.shown == [Subject("asked", "said", "told")]


def test_a_system_text_stands_before_the_request_where_there_is_one() -> None:
    assert Subject("asked", "said", "told").asked == "told\n\nasked"
    assert Subject("", "said", "told").asked == "told"
    assert Subject("asked", "said", " ").asked == "asked"


def test_off_moderates_nothing_and_says_so() -> None:
    said = moderate_rows(Off(), [chat("a"), chat("b")])
    assert [r.reason for r in said.rows] == [REASON, REASON]
    assert said.usage == Usage()


class FakeDetector:
    name = "explicit_harm"
    version = "7"

    def score(self, dataset: Dataset) -> Scores:
        replies = [example.messages[1].content for example in dataset]
        values = tuple(None if "ODD" in r else 0.9 * ("BAD" in r) for r in replies)
        n = len(values)
        why = tuple("unreadable" if v is None else "" for v in values)
        return Scores("explicit_harm", "7", values, (None,) * n, ("malware",) * n, why)


def test_our_own_heads_moderate_behind_the_same_interface() -> None:
    local = Local(FakeDetector(), threshold=0.6)
    told: list[tuple[str, int, int]] = []
    said = local.moderate(
        [Subject("q", "BAD"), Subject("q", "fine"), Subject("q", "ODD")],
        progress=lambda *step: told.append(step),
    )
    assert [v and v.flagged for v in said.verdicts] == [True, False, None]
    assert said.reasons == ("", "", "unreadable")
    assert said.verdicts[0] == Verdict(True, 0.9, "malware", "malware")
    assert (said.provider, said.model) == ("local", "explicit_harm 7")
    assert told == [("moderation", 3, 3)]


def test_our_own_heads_are_shown_the_system_text() -> None:
    class Seen(FakeDetector):
        def score(self, dataset: Dataset) -> Scores:
            roles.extend([(m.role, m.content) for m in dataset[0].messages])
            return super().score(dataset)

    roles: list[tuple[str, str]] = []
    Local(Seen(), threshold=0.6).moderate([Subject("asked", "said", "told")])
    assert roles == [("system", "told"), ("user", "asked"), ("assistant", "said")]


def test_a_verdict_or_a_reason_but_never_both_nor_neither() -> None:
    with pytest.raises(ValueError, match="never both"):
        Moderation("p", "m", (None,), ("",))
    with pytest.raises(ValueError, match="never both"):
        Moderation("p", "m", (Verdict(False, 0.0),), ("why",))
    with pytest.raises(ValueError, match="differ in number"):
        Moderation("p", "m", (None,), ())
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        Verdict(True, float("nan"))


class PairModerator(MarkModerator):
    """Flags SEEN with a higher score than HIDDEN, whose text is never shown."""

    def _verdict(self, text: str) -> Verdict | None:
        if "HIDDEN" in text:
            return Verdict(True, 0.5, "child_abuse")
        return Verdict("SEEN" in text, 0.9, "fraud_deception")


def test_a_category_that_is_never_shown_outranks_a_higher_score() -> None:
    rows = [chat("SEEN", "HIDDEN", "SEEN"), chat("calm", "SEEN")]
    hidden, seen = moderate_rows(PairModerator(), rows).rows
    assert hidden.verdict is not None
    assert (hidden.verdict.category, hidden.turn) == ("child_abuse", 3)
    assert seen.verdict is not None
    assert seen.verdict.category == "fraud_deception"
    unflagged = Verdict(False, 0.2, "child_abuse")
    assert unflagged.rank < Verdict(False, 0.3).rank < Verdict(True, 0.1).rank


def test_a_long_system_text_before_very_many_exchanges_is_not_sent_for_each() -> None:
    turns = (("user", "Q"), ("assistant", "BAD")) * 100
    long = row(("system", "s" * (MOST_CHARS // 100)), *turns)
    moderator = MarkModerator()
    first, second = moderate_rows(moderator, [long, chat("a", "BAD")]).rows
    assert (first.verdict, first.reason, first.turn) == (None, TOO_LONG, None)
    assert second.turn == 3
    assert len(moderator.shown) == 2
