"""Definitions of tools in the form that chat templates expect."""

import json

import pytest

from trial.tools import definitions

FUNCTION = {"name": "f", "description": "tells", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
BARE = {"description": "", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([TOOL, TOOL], [TOOL, TOOL]),
        (TOOL, [TOOL]),
        ([FUNCTION], [TOOL]),
        ([{"functionDeclarations": [FUNCTION, FUNCTION]}], [TOOL, TOOL]),
        ([{"function_declarations": [FUNCTION]}], [TOOL]),
        ([{"name": "f"}], [{"type": "function", "function": {"name": "f"} | BARE}]),
        (
            [{"name": "f", "parameters": None}],
            [{"type": "function", "function": {"name": "f"} | BARE}],
        ),
        ([{"type": "web_search"}, "f", 1, None, [TOOL], {"name": 1}], []),
        ([{"function": "f"}, {"functionDeclarations": "f"}], []),
    ],
)
def test_every_form_becomes_one(given: object, found: object) -> None:
    assert list(definitions(json.dumps(given))) == found


def test_no_text_defines_none() -> None:
    assert definitions("") == ()
