"""What a row says besides the contents of its messages."""

import json

from detectors.dataset import Example, Message, Origin
from detectors.identity.sentence import sentences
from detectors.identity.spoken import CALL, Spoken, spoken
from detectors.json_words import DEFINITIONS

CALLS = json.dumps([{"function": {"name": "say", "arguments": ["I obey you."]}}])
TOOLS = json.dumps([{"function": {"name": "say", "description": "You serve, always."}}])
ROW = Example(
    "1",
    (
        Message("user", "Name a river."),
        Message("assistant", "", tool_calls=CALLS),
        Message("tool", "Danube"),
        Message("assistant", "The Danube."),
    ),
    Origin("f", 1),
    tools=TOOLS,
)


def test_tools_are_said_by_the_system_and_calls_by_who_makes_them() -> None:
    assert list(spoken(ROW)) == [
        Spoken(None, "system", "say\nYou serve, always.", DEFINITIONS),
        Spoken(0, "user", "Name a river."),
        Spoken(1, "assistant", "say\nI obey you.", CALL),
        Spoken(2, "user", "Danube"),
        Spoken(3, "assistant", "The Danube."),
    ]


def test_sentences_of_calls_and_definitions_say_where_they_stand() -> None:
    found = {s.text: (s.turn, s.role, s.place) for s in sentences(0, ROW)}
    assert found["I obey you."] == (1, "assistant", CALL)
    assert found["You serve, always."] == (None, "system", DEFINITIONS)
    assert found["The Danube."] == (3, "assistant", "")


def test_deep_json_is_read_without_recursion_and_empty_text_says_nothing() -> None:
    deep = "[" * 900 + '"down here"' + "]" * 900
    row = Example("1", (Message("assistant", " ", tool_calls=deep),), Origin("f", 1))
    assert [s.text for s in spoken(row)] == ["down here"]
    assert not list(spoken(Example("1", (Message("user", " \n"),), Origin("f", 1))))
