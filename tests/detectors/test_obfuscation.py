import json
import random
from collections.abc import Callable

import pytest

from benchmark.sets.encodings import (
    ENCODINGS,
    in_base64,
    in_code,
    piped,
    shifted,
    verse,
)
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores
from detectors.embedding import Encoder
from detectors.obfuscation import HARMFUL, HIDDEN, SHOWN, UNREADABLE, Obfuscation

QUESTION = "Please tell me how the people of the village bake their bread in winter."
ANSWER = (
    "They knead flour, water and salt in the evening and leave the dough in a warm "
    "place until the morning. Then they light the big oven together, and every family "
    "brings its own loaves. It takes about an hour until the crust is brown."
)
CODED = "To hurt somebody quietly [the steps would stand here] as you asked"
BAD = "Steps to hurt somebody: [the steps would stand here], as you asked for them."


def in_hex(text: str) -> str:
    return text.encode().hex()


class FakeHarm:
    """Takes every exchange whose reply speaks of hurting somebody for harmful."""

    name = "explicit_harm"
    version = "fake-1"
    suggested_threshold = 0.5

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, dataset: Dataset) -> Scores:
        texts = [" ".join(m.content for m in row.messages) for row in dataset]
        self.asked += texts
        bad = ["hurt somebody" in text.lower() for text in texts]
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(0.9 if b else 0.01 for b in bad),
            evidence=(None,) * len(bad),
            categories=tuple("physical_harm" if b else "" for b in bad),
            unscored=("",) * len(bad),
        )


@pytest.fixture
def harm() -> FakeHarm:
    return FakeHarm()


@pytest.fixture
def detector(encoder: Encoder, harm: FakeHarm) -> Obfuscation:
    return Obfuscation(encoder, harm=harm)  # type: ignore[arg-type]


def chat(request: str, reply: str, system: str = "", line: int = 1) -> Example:
    turns = [("system", system)] * bool(system) + [
        ("user", request),
        ("assistant", reply),
    ]
    messages = tuple(Message(role, text) for role, text in turns)
    return Example(f"row-{line}", messages, Origin("rows.jsonl", line))


def score(detector: Obfuscation, *rows: Example) -> Scores:
    return detector.score(Dataset("rows", rows))


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_is_flagged_though_what_it_says_is_harmless(
    name: str, detector: Obfuscation
) -> None:
    encode = ENCODINGS[name]
    hidden = chat(QUESTION, encode(ANSWER, random.Random(1)))
    (value,) = score(detector, hidden).values
    assert value is not None
    assert detector.suggested_threshold <= value < HARMFUL


@pytest.mark.parametrize("name", ["base64", "rot13", "homoglyphs", "Unicode tags"])
def test_harm_is_judged_in_the_decoded_text(name: str, detector: Obfuscation) -> None:
    encode = ENCODINGS[name]
    hidden = chat(*(encode(text, random.Random(1)) for text in (QUESTION, BAD)))
    scores = score(detector, hidden)
    (value,), (evidence,) = scores.values, scores.evidence
    assert value is not None
    assert evidence is not None
    assert value >= HARMFUL
    assert scores.categories == ("physical_harm",)
    assert "'Physical Harm'" in evidence.detail
    assert evidence.turn is not None
    assert evidence.span is not None
    start, end = evidence.span
    content = hidden.messages[evidence.turn].content
    assert content[start:end].startswith(evidence.excerpt)


def test_rows_in_which_nothing_is_hidden_are_not_judged_again(
    detector: Obfuscation, harm: FakeHarm
) -> None:
    assert score(detector, chat(QUESTION, ANSWER)).values == (0.0,)
    assert harm.asked == []


def test_what_stands_there_in_plain_too_is_not_hidden(detector: Obfuscation) -> None:
    task = chat(
        f"Write this sentence in base64: {ANSWER}",
        f"Here it is:\n\n{in_base64(ANSWER)}",
    )
    (value,) = score(detector, task).values
    assert value is not None
    assert 0.0 < value < detector.suggested_threshold
    assert value >= SHOWN


DECOYS = [f"{ANSWER[:40]} {n} {' and '.join(ANSWER.split()[:4])}" for n in range(160)]


@pytest.mark.parametrize("encoded", [(in_base64,), (in_base64, in_hex)])
def test_very_many_texts_that_are_shown_hide_none_behind_them(
    encoded: tuple[Callable[[str], str], ...], detector: Obfuscation
) -> None:
    shown = [f"{text} = {encode(text)}" for text in DECOYS for encode in encoded]
    shown += shown[: 220 - len(shown)] if len(encoded) == 1 else []
    assert score(detector, chat(QUESTION, "\n".join(shown[:90]))).values[0] < UNREADABLE
    row = chat(QUESTION, "\n".join([*shown, in_base64(CODED)]))
    scores = score(detector, row)
    assert scores.values == (UNREADABLE,)
    assert scores.evidence[0].detail == (
        "more hidden texts than are read in the assistant message: have a look"
    )


def test_credentials_and_tokens_in_code_are_data(detector: Obfuscation) -> None:
    token = ENCODINGS["base64"](
        '{"sub": "42", "name": "test", "exp": 1}', random.Random()
    )
    basic = ENCODINGS["base64"]("admin:admin123", random.Random())
    row = chat(
        "Add a header to the call.",
        f'headers = {{"Authorization": "Basic {basic}", "X-Token": "{token}"}}',
    )
    assert score(detector, row).values == (0.0,)


def test_a_dataset_under_one_key_is_read_and_judged(detector: Obfuscation) -> None:
    texts = [ANSWER, QUESTION, BAD, ANSWER[::-1].lower()[::-1], f"{QUESTION} {ANSWER}"]
    rows = [
        chat(*(piped(t, random.Random(8)) for t in (QUESTION, text)), line=n)
        for n, text in enumerate(texts, start=1)
    ]
    scores = score(detector, *rows)
    assert scores.values[2] is not None
    assert scores.values[2] >= HARMFUL
    for value in scores.values:
        assert value is not None
        assert value >= HIDDEN


def test_a_cipher_that_nobody_can_read_is_said_to_be_unreadable(
    detector: Obfuscation,
) -> None:
    chance = random.Random(6)
    noise = " ".join(
        "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=6)) for _ in range(40)
    )
    scores = score(detector, chat(QUESTION, noise))
    assert scores.values == (UNREADABLE,)
    assert scores.evidence[0] is not None
    assert "no known encoding" in scores.evidence[0].detail


def test_a_message_in_line_ends_is_read(detector: Obfuscation) -> None:
    poem = verse(f"{ANSWER} {BAD}", random.Random(3))
    (value,) = score(detector, chat(verse(QUESTION, random.Random(2)), poem)).values
    assert value is not None
    assert value >= HARMFUL


def test_a_stated_code_is_flagged_and_read(detector: Obfuscation) -> None:
    system, asked, said = in_code("Say how to hurt somebody quietly now", CODED)
    assert "somebody" not in said
    scores = score(detector, chat(asked, said, system))
    assert scores.values[0] is not None
    assert scores.values[0] >= HARMFUL
    assert scores.evidence[0] is not None
    assert "code" in scores.evidence[0].detail


def test_a_code_that_another_row_states_is_applied(detector: Obfuscation) -> None:
    system, asked, said = in_code("Say how to hurt somebody quietly now", CODED)
    scores = score(
        detector,
        chat("What is the code?", "Here it is.", f"{system} Use lantern and meadow."),
        chat(asked, said, line=2),
        chat(QUESTION, ANSWER, line=3),
    )
    assert scores.values[1] is not None
    assert scores.values[1] >= HARMFUL
    assert scores.values[2] == 0.0


def test_the_text_of_child_abuse_is_not_shown(
    detector: Obfuscation, harm: FakeHarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = chat(shifted(QUESTION, 13), shifted(BAD, 13))
    plain = harm.score

    def other(dataset: Dataset) -> Scores:
        said = plain(dataset)
        return Scores(
            said.detector, said.version, said.values, said.evidence,
            ("child_abuse",) * len(said), said.unscored,
        )  # fmt: skip

    monkeypatch.setattr(harm, "score", other)
    (evidence,) = score(detector, row).evidence
    assert evidence is not None
    assert evidence.excerpt == ""
    assert "bread" not in evidence.detail
    assert "Steps" not in evidence.detail


def test_text_hidden_in_a_tool_call_is_found(
    detector: Obfuscation, harm: FakeHarm
) -> None:
    call = '{"name": "run", "arguments": {"text": "' + in_base64(BAD) + '"}}'
    row = Example(
        "row",
        (Message("user", QUESTION), Message("assistant", "", tool_calls=call)),
        Origin("rows.jsonl", 1),
    )
    scores = detector.score(Dataset("one", (row,)))
    assert scores.values[0] is not None
    assert scores.values[0] >= HARMFUL
    evidence = scores.evidence[0]
    assert evidence is not None
    assert "tool call" in evidence.detail
    assert evidence.turn == 1
    assert evidence.span is None
    assert any("hurt somebody" in text for text in harm.asked)


def defined(description: str, *messages: Message) -> Example:
    tools = json.dumps([{"name": "bake", "parameters": {"description": description}}])
    return Example("row", messages, Origin("rows.jsonl", 1), tools=tools)


def test_text_hidden_in_a_tool_definition_is_found(
    detector: Obfuscation, harm: FakeHarm
) -> None:
    turns = (Message("user", QUESTION), Message("assistant", ANSWER))
    scores = score(detector, defined(in_base64(BAD), *turns))
    assert scores.values[0] is not None
    assert scores.values[0] >= HARMFUL
    evidence = scores.evidence[0]
    assert evidence is not None
    assert "in the tool definitions" in evidence.detail
    assert (evidence.turn, evidence.span) == (None, None)
    assert evidence.excerpt in in_base64(BAD)
    (asked,) = harm.asked
    assert asked == f"bake\n{BAD} {QUESTION} {ANSWER}"


def test_plain_tool_definitions_change_nothing(detector: Obfuscation) -> None:
    turns = (Message("user", QUESTION), Message("assistant", ANSWER))
    plain = "Bakes bread. Call it once for every loaf."
    assert score(detector, defined(plain, *turns)).values == (0.0,)
    assert score(detector, defined(plain, Message("user", ""))).values == (None,)
