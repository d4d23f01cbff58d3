"""Our sentences that vow obedience, and their harmless twins."""

from collections import Counter

from benchmark.sets.identity import families
from detectors.identity.sentence import words
from detectors.training.statements import own_statements


def test_every_sentence_stands_in_each_role_of_its_voice_and_no_label_disagrees() -> (
    None
):
    found = own_statements()
    assert len(found) > 4000
    labels: dict[tuple[str, str], set[bool]] = {}
    for segment in found:
        labels.setdefault((segment.role, segment.text), set()).add(segment.obedient)
    assert all(len(said) == 1 for said in labels.values())
    roles = Counter(s.role for s in found if s.obedient)
    assert min(roles["assistant"], roles["system"], roles["user"]) > 400


def test_none_of_the_sentences_that_are_measured_on_is_learnt() -> None:
    measured = {words(text) for family in families() for text in family.texts}
    assert not measured & {words(segment.text) for segment in own_statements()}
