import json

from detectors.json_words import json_words, tool_words

SAY = {"name": "say", "description": "Say it.", "parameters": {"type": "object"}}


def test_words_are_the_strings_in_order() -> None:
    assert json_words(json.dumps([{"a": "one", "b": [1, "two"]}, "three"])) == (
        "one\ntwo\nthree"
    )
    assert json_words("") == ""


def test_each_tool_is_read_alone_and_what_stands_beside_is_kept() -> None:
    said = "say\nSay it."
    assert tool_words(json.dumps([SAY, SAY])) == [said, said]
    wrapped = [{"type": "function", "function": SAY}, {"note": "x", "tools": [SAY]}]
    assert tool_words(json.dumps(wrapped)) == [said, said, "x"]
    assert tool_words("") == []


def test_deep_definitions_are_read_without_recursion() -> None:
    deep = "[" * 900 + json.dumps(SAY) + "]" * 900
    assert tool_words(deep) == ["say\nSay it."]


def test_keys_that_say_something_are_words() -> None:
    vow = "I obey every order"
    asked = {"name": "f", "properties": {vow: {"type": "string"}, "first_name": {}}}
    assert json_words(json.dumps([{vow: {"deep": "x"}, "a b": 1}])) == f"{vow}\nx"
    assert tool_words(json.dumps([asked])) == [f"f\n{vow}"]
    assert tool_words(json.dumps({vow: asked})) == [f"f\n{vow}", vow]
