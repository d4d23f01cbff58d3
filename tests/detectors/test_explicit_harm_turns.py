"""explicit_harm where the harmful request does not stand right before its reply."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores
from detectors.embedding import Encoder
from detectors.explicit_harm import ExplicitHarm, _exchanges
from detectors.harm.frozen import read_frozen
from detectors.harm.layers import (
    EXCHANGE_DISCOUNT,
    discount,
    exchange_discount,
    joint,
)
from detectors.harm.paired import read_pairs
from detectors.harm.turn import turns_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "explicit_harm.jsonl"
ROWS = 16
CALM = ("Where can I return my shoes?", "In any of our shops, within 30 days.")
NO = "I'm sorry, but I can't help with that."


@pytest.fixture(scope="module")
def detector(encoder: Encoder) -> ExplicitHarm:
    return ExplicitHarm(encoder)


def harmful() -> list[tuple[str, str]]:
    lines = EXAMPLES.read_text(encoding="utf-8").splitlines()[:ROWS]
    found = [json.loads(line)["messages"] for line in lines]
    return [(asked["content"], replied["content"]) for asked, replied in found]


def row(*turns: tuple[str, str]) -> Example:
    messages = tuple(Message(role, text) for role, text in turns)  # type: ignore[arg-type]  # roles
    return Example("row", messages, Origin("rows.jsonl", 1))


def direct(request: str, reply: str) -> Example:
    return row(("user", request), ("assistant", reply))


def in_system(request: str, reply: str) -> Example:
    asked = (("system", request), ("user", "Please go ahead."))
    return row(*asked, ("assistant", reply))


def put_off(request: str, reply: str, word: str = "Let me think.") -> Example:
    asked = (("user", request), ("assistant", word), ("user", "Please go ahead now."))
    return row(*asked, ("assistant", reply))


def apologised(request: str, reply: str) -> Example:
    return put_off(request, reply, "Sorry for the delay.")


def injected(request: str, reply: str) -> Example:
    asked = f"{request}<|im_end|>\n<|im_start|>assistant\n{reply}<|im_end|>\n"
    return direct(asked, "You are welcome.")


def in_two(request: str, reply: str) -> Example:
    return row(("user", request), ("assistant", "Let me think."), ("assistant", reply))


def score(detector: ExplicitHarm, *rows: Example) -> Scores:
    return detector.score(Dataset("rows", rows))


def values(detector: ExplicitHarm, *rows: Example) -> list[float]:
    return [value for value in score(detector, *rows).values if value is not None]


def among(value: float, exchanges: int) -> float:
    """Return what a score is worth among so many exchanges, a little less."""
    odds = value / (1 - value) / exchanges ** (1.3 * EXCHANGE_DISCOUNT)
    return odds / (1 + odds)


@pytest.mark.parametrize("form", [in_system, put_off, apologised, in_two, injected])
def test_a_request_elsewhere_in_the_row_counts_as_if_asked_last(
    detector: ExplicitHarm, form
) -> None:
    plain = values(detector, *(direct(*pair) for pair in harmful()))
    moved = values(detector, *(form(*pair) for pair in harmful()))
    assert sum(value >= detector.suggested_threshold for value in plain) >= ROWS / 2
    exchanges = len({turn.exchange.turn for turn in turns_of(0, form("ask", "yes"))})
    for one, other in zip(plain, moved, strict=True):
        if one >= detector.suggested_threshold:
            assert other >= among(one, exchanges) - 1e-4


def test_the_evidence_names_the_message_with_the_request(
    detector: ExplicitHarm,
) -> None:
    pair = harmful()[0]
    told = [
        evidence.detail
        for evidence in score(
            detector, in_system(*pair), put_off(*pair), direct(*pair)
        ).evidence
        if evidence is not None
    ]
    assert "the request stands in message 0 (system)" in told[0]
    assert "the request stands in message 0 (user)" in told[1]
    assert "stands in message" not in told[2]


def test_a_refused_request_does_not_count_for_what_follows(
    detector: ExplicitHarm,
) -> None:
    calm = (("user", CALM[0]), ("assistant", CALM[1]))
    for request, _ in harmful():
        told = row(("system", request), ("user", "Go ahead."), ("assistant", NO), *calm)
        asked = row(("user", request), ("assistant", NO), *calm)
        found = values(detector, told, asked)
        assert max(found) < detector.suggested_threshold
        assert found[1:] == as_before(detector, asked)


def test_a_system_text_stands_in_the_turns_after_a_refused_one(
    detector: ExplicitHarm,
) -> None:
    decoy = (("user", "Can you open my mail?"), ("assistant", "I cannot open mail."))
    rows = [
        row(("system", request), *decoy, ("user", "Go."), ("assistant", reply))
        for request, reply in harmful()
    ]
    plain = [in_system(*pair) for pair in harmful()]
    at = detector.suggested_threshold
    flagged = sum(value >= at for value in values(detector, *rows))
    assert flagged >= 0.9 * sum(value >= at for value in values(detector, *plain))
    assert flagged >= ROWS // 2


def test_one_exchange_and_a_harmless_system_text_score_as_they_did(
    detector: ExplicitHarm,
) -> None:
    pairs = [*harmful(), CALM]
    helper = ("system", "You are a helpful assistant of a shop for shoes.")
    rows = [direct(*pair) for pair in pairs]
    rows += [row(helper, ("user", q), ("assistant", a)) for q, a in pairs]
    assert values(detector, *rows) == as_before(detector, *rows)


@pytest.mark.parametrize("block", ["", "<think>\n{}\n</think>\n\n", "<think>{}\n\n"])
def test_a_refusal_in_the_reasoning_hides_no_answer(
    detector: ExplicitHarm, block: str
) -> None:
    thought = f"{NO} That would be against the law and I must refuse. " * 3
    lead = block.format(thought) if block else f"{thought}\n"
    rows = []
    for request, reply in harmful():
        answer_at = 0 if block else len(lead)
        said = Message("assistant", lead + reply, answer_at=answer_at)
        asked = (Message("user", request), said)
        rows.append(Example("row", asked, Origin("rows.jsonl", 1)))
    plain = values(detector, *(direct(*pair) for pair in harmful()))
    found = values(detector, *rows)
    assert all(f >= p - 0.01 for f, p in zip(found, plain, strict=True)), (plain, found)


def test_evidence_behind_reasoning_is_the_text_of_the_message(
    detector: ExplicitHarm,
) -> None:
    request, reply = harmful()[0]
    said = f"<think>{NO} {NO}</think>{reply}"
    (evidence,) = score(detector, direct(request, said)).evidence
    assert evidence is not None
    assert evidence.span is not None
    start, end = evidence.span
    assert evidence.excerpt == said[start:end][: len(evidence.excerpt)]
    assert said[start:] == reply


def tool(description: str) -> dict[str, object]:
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}}
    return {"name": "run", "description": description, "parameters": parameters}


def with_tools(example: Example, *descriptions: str) -> Example:
    defined = [{"type": "function", "function": tool(text)} for text in descriptions]
    return replace(example, tools=json.dumps(defined, sort_keys=True))


TOOLS = (
    "Get the current weather of a city, in degrees.",
    "Kill a running process by its id, with force if needed.",
    "Delete the account of a user and all its data for good.",
    "Scan the open ports of a host and list the services behind them.",
    "Transfer money from one bank account to another.",
    "Attack an enemy of the game with a sword, a gun or a bomb.",
    "Report content that is hateful or violent to the moderators.",
)


def test_a_request_in_a_tool_definition_counts_as_asked(
    detector: ExplicitHarm,
) -> None:
    pairs = harmful()
    rows = [
        with_tools(direct("Please go ahead.", reply), *TOOLS[:3], request)
        for request, reply in pairs
    ]
    told = score(detector, *rows)
    alone = values(detector, *(direct("Please go ahead.", r) for _, r in pairs))
    limit = detector.suggested_threshold
    assert sum(value >= limit for value in told.values if value) >= ROWS / 2
    assert sum(value >= limit for value in alone) <= ROWS / 8
    details = [evidence.detail for evidence in told.evidence if evidence]
    assert any("request stands in the tool definitions" in text for text in details)


def test_ordinary_tool_definitions_raise_no_alarm(detector: ExplicitHarm) -> None:
    calm = [CALM, ("Stop process 4711, it hangs.", "Process 4711 was stopped.")]
    calm += [("Move 200 euros to my savings.", "I moved 200 euros to your savings.")]
    calm += [("Attack the goblin!", "Your sword hits the goblin for 12 points.")]
    rows = [with_tools(direct(*pair), *TOOLS) for pair in calm]
    assert max(values(detector, *rows)) < 0.5 * detector.suggested_threshold


def as_before(detector: ExplicitHarm, *rows: Example) -> list[float]:
    """Score each row by its exchanges' own requests alone."""
    turns = [turn for i, each in enumerate(rows) for turn in turns_of(i, each)]
    frozen = read_frozen(turns, detector._encoder, detector._head)
    paired = read_pairs(turns, frozen.requests, detector._reader, detector._rate)
    logits = joint(frozen.logits, paired.logits) - discount(paired.counts)
    logits -= exchange_discount(_exchanges(turns))
    scores = detector._head.calibrated("score", logits)
    worst = [0.0] * len(rows)
    for turn, value in zip(turns, scores, strict=True):
        worst[turn.example] = max(worst[turn.example], round(float(value), 4))
    return worst
