import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text import clean, plain, printable, storable

ANY = st.text(st.characters(categories=None) | st.characters(categories=["Cs", "Cc"]))


@given(ANY, st.integers(1, 50))
def test_cleaned_text_is_valid_unicode_and_bounded(text: str, limit: int) -> None:
    assert len(clean(text, limit)) <= limit
    clean(text).encode("utf-8")


@given(ANY)
def test_what_is_stored_is_plain_and_plain_text_is_stored_as_it_is(text: str) -> None:
    assert plain(storable(text))
    assert (storable(text) == text) == plain(text)


@given(ANY)
def test_printable_text_holds_nothing_that_steers_a_terminal(text: str) -> None:
    shown = printable(text, 100)
    assert shown.isprintable()
    assert len(shown) <= 100


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("naïve 😀", "naïve 😀"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
