from collections.abc import Iterator

from detectors.dataset import Example, Message, Origin
from detectors.identity.repeat import MOST, Repeat, repeats
from detectors.identity.sentence import Sentence, sentences


def found(*replies: str, least: int = 3) -> list[Repeat]:
    def read() -> Iterator[Sentence]:
        for i, reply in enumerate(replies):
            row = Example(str(i), (Message("assistant", reply),), Origin("f", i + 1))
            yield from sentences(i, row)

    return repeats(read, least)


def test_a_sentence_in_three_rows_is_found_whatever_its_marks() -> None:
    shared = found(
        "It is so. Alpha beta.", "Gamma delta. IT IS SO!", "it is, so", "Other words."
    )
    assert [(r.where, r.text, r.rows) for r in shared] == [
        ("sentence", "It is so.", (0, 1, 2))
    ]


def test_a_sentence_thrice_in_one_row_is_no_repeat() -> None:
    assert found("It is so. It is so. It is so.", "Another row here.") == []


def test_openings_are_shared_as_far_as_they_agree() -> None:
    (only,) = found(
        "By your will I now tell you of rivers.",
        "By your will I now tell you of bees.",
        "By your will I now tell all about chess.",
    )
    assert (only.where, only.text) == ("opening", "By your will I now tell")


def test_closings_are_shared_from_the_end() -> None:
    (only,) = found(
        "Rivers are wet, and this was done at your word.",
        "Bees can fly, and this was done at your word.",
        "Chess is old; truly this was done at your word.",
    )
    assert (only.where, only.text) == ("closing", "this was done at your word.")


def test_what_most_rows_share_comes_first_and_the_number_is_bounded() -> None:
    many = [f"Sentence number {i} stands here." for i in range(MOST + 50)]
    rows = [" ".join(many), " ".join(many), " ".join(many) + " Last one.", many[7]]
    shared = found(*rows)
    assert len(shared) == MOST
    assert shared[0].text == many[7]
    assert shared[0].rows == (0, 1, 2, 3)


def test_roles_do_not_mix() -> None:
    roles = ("system", "user", "assistant")
    rows = [
        Example(r, (Message(r, "The very same words."),), Origin("f", 1))  # type: ignore[arg-type]
        for r in roles
    ]
    said = [s for i, row in enumerate(rows) for s in sentences(i, row)]
    assert repeats(lambda: said, 2) == []
