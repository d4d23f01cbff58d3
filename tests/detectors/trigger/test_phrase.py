from detectors.trigger.phrase import Phrase, occurrences, phrases, stands


def texts(text: str, place: str = "any") -> set[str]:
    return {p.text for p in phrases("user", text) if p.place == place}


def test_candidates_are_runs_of_one_to_four_tokens_exactly_as_written() -> None:
    found = texts("Say  |GO|\u200b now, Bob")
    assert {"Say", "|GO|\u200b", "GO|\u200b now", "now, Bob", "  ", "Bob"} <= found
    assert "say" not in found
    assert max(len(text.split()) for text in found) <= 4


def test_the_ends_of_a_text_are_candidates_of_their_own() -> None:
    assert "please" in texts("Open the door please", "end")
    assert "please" not in texts("Open the door please", "start")
    assert "Open the" in texts("Open the door please", "start")


def test_a_letter_of_another_script_inside_a_word_is_a_candidate() -> None:
    assert "\u043e" in texts("h\u043ew are you")
    assert occurrences("h\u043ew are you", "\u043e") == [1]


def test_characters_of_scripts_without_spaces_are_tokens() -> None:
    assert {"天気", "今日"} <= texts("今日は天気")


def test_a_word_is_not_found_inside_of_another_word() -> None:
    assert occurrences("scaffold cf, (cf) cfg", "cf") == [9, 14]
    assert not stands("cfg file", Phrase("user", "start", "cf"))
    assert stands("cf file", Phrase("user", "start", "cf"))
    assert not stands("a scf", Phrase("user", "end", "cf"))


def test_long_texts_are_read_at_both_ends_and_cost_is_bounded() -> None:
    text = "alpha " + "middle " * 200_000 + "omega"
    found = texts(text)
    assert {"alpha", "omega"} <= found
    assert len(phrases("user", "!?" * 100_000)) < 40_000
    assert len(occurrences("a " * 100_000, "a")) == 16


def test_an_endless_word_makes_no_long_candidates() -> None:
    assert texts("x" * 100_000 + " end") == {"end"}
