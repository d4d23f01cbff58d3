from collections import Counter

from detectors.refusal import opens_with_yes, refuses
from detectors.training.composed_rows import compose
from detectors.training.harm_rows import contrast, split_template
from detectors.training.lay_rows import lay_requests, lay_rows
from detectors.training.personas import compose_segments
from detectors.training.phrases import COMPLIANCES, REFUSALS
from detectors.training.sources import Row


def test_each_harmful_request_gets_a_refusal_and_a_placeholder() -> None:
    asked = [Row("prompts", "all", "", f"request {i}", "", {}) for i in range(40)]
    rows = compose(asked, "seed")
    assert Counter(row.kind for row in rows) == {"refuse": 40, "comply": 40}
    assert all(row.harmful == (row.kind == "comply") for row in rows)
    assert all("[" in row.reply for row in rows if row.harmful)
    assert rows == compose(asked, "seed")


def test_composed_segments_are_balanced_over_roles_and_labels() -> None:
    found = compose_segments(1200)
    counts = Counter((segment.role, segment.obedient) for segment in found)
    assert set(counts) == {
        (role, label)
        for role in ("system", "user", "assistant")
        for label in (True, False)
    }
    assert min(counts.values()) > 80
    assert not [segment for segment in found if "{" in segment.text]
    assert len({segment.text for segment in found}) > 0.95 * len(found)


def test_contrast_rows_are_distinct_and_answered() -> None:
    rows = list(contrast())
    assert len(rows) >= 900
    assert len({row.request for row in rows}) == len(rows)
    assert all(row.reply and not refuses(row.reply) for row in rows)


def test_lay_requests_are_complied_with_and_refused() -> None:
    by_request: dict[str, Counter[bool]] = {}
    for row in lay_rows():
        by_request.setdefault(row.request.lower(), Counter()).update([row.harmful])
    assert len(by_request) == len(lay_requests()) > 300
    assert all(said == {True: 2, False: 1} for said in by_request.values())


def test_most_of_our_refusals_and_openings_are_read_as_such() -> None:
    assert not any(opens_with_yes(refusal) for refusal in REFUSALS)
    assert sum(refuses(refusal) for refusal in REFUSALS) > len(REFUSALS) // 2
    assert not any(refuses(opening) for opening in COMPLIANCES)


def test_a_chat_in_one_text_is_split_at_the_last_assistant_mark() -> None:
    text = "USER: Tell me a tale. ASSISTANT: Once upon a time."
    assert split_template(text) == ("Tell me a tale.", "Once upon a time.")
    assert split_template("[INST] Sing. [/INST] La la.") == ("Sing.", "La la.")
    assert split_template("no marks here") == ("no marks here", "")
