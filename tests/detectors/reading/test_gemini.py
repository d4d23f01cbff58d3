import pytest

from detectors.dataset import Origin
from detectors.reading.fault import RowFault
from detectors.reading.limits import Limits
from detectors.reading.rowshape import read_row

CALL = {"name": "f", "args": {}}
PART = "contents[0].parts[0]"


def row(part: object, **beside: object) -> dict[str, object]:
    return {"contents": [{"role": "model", "parts": [part]}], **beside}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (row({"text": "a", "text_": "b"}), f"{PART}.text"),
        (row({"functionCall": CALL, "function_call": CALL}), f"{PART}.functionCall"),
        (
            row({"text": "a"}, systemInstruction="b", system_instruction="c"),
            "system_instruction",
        ),
    ],
)
def test_a_field_spelt_in_two_ways_is_a_fault_and_loses_neither(
    given: object, field: str
) -> None:
    with pytest.raises(RowFault) as caught:
        read_row(given, Origin("rows.jsonl", 1), Limits())
    assert (caught.value.code, caught.value.field) == ("ambiguous_field", field)


def test_a_null_beside_the_other_spelling_is_none() -> None:
    given = row({"functionCall": CALL, "function_call": None})
    (message,) = read_row(given, Origin("rows.jsonl", 1), Limits()).messages
    assert '"name":"f"' in message.tool_calls


def test_what_the_model_thought_is_reasoning_and_not_its_answer() -> None:
    parts = [
        {"text": "I must not help with that.", "thought": True},
        {"text": "Here is how.", "thought": None},
    ]
    given = {"contents": [{"role": "model", "parts": parts}]}
    (message,) = read_row(given, Origin("rows.jsonl", 1), Limits()).messages
    assert message.content == "I must not help with that.\nHere is how."
    assert message.content[message.answer_at :] == "Here is how."


def test_a_thought_mark_that_is_no_truth_value_is_a_fault() -> None:
    with pytest.raises(RowFault) as caught:
        read_row(row({"text": "a", "thought": "yes"}), Origin("rows", 1), Limits())
    assert (caught.value.code, caught.value.field) == ("wrong_type", f"{PART}.thought")
