import numpy as np
import pytest

from detectors.catalog import load_detectors
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.embedding import Encoder
from detectors.reply_shape import SHAPES, shape_features
from detectors.safety_anchor import FEATURES, HIGHEST, SHAPED, SafetyAnchor, row_score
from service.gate import Facts, Outcome, decide
from service.policy import parse_policy

LISTS = [
    (f"Give me {n} ideas for {what}.", "1. First one.\n2. Second one.\n3. Third one.")
    for n in (3, 4, 5)
    for what in ("a party", "saving time", "a garden", "a blog", "a gift")
]
PLAIN = [
    (
        "Is this wise?",
        "Perhaps; however, it may depend on much. Please consult a doctor.",
    ),
    ("What did he say?", "Unfortunately I could not tell, it might be something else."),
]


@pytest.fixture(scope="module")
def detector(encoder: Encoder) -> SafetyAnchor:
    return SafetyAnchor(encoder)


def rows(*pairs: tuple[str, str]) -> Dataset:
    return Dataset(
        "rows",
        tuple(
            Example(
                f"r{i}",
                (Message("user", asked), Message("assistant", said)),
                Origin("rows", i + 1),
            )
            for i, (asked, said) in enumerate(pairs)
        ),
    )


def shape(request: str, reply: str) -> dict[str, float]:
    return dict(
        zip(SHAPES, shape_features([request], [reply])[0].tolist(), strict=True)
    )


def test_shapes_are_seen() -> None:
    listed = shape("List three colours", "1. Red\n2. Blue\n3. Green")
    assert listed["numbered lines"] == pytest.approx(0.3)
    assert listed["a task given"] == 1.0
    assert shape("How much?", "2+2=4 and 3 * 4 = 12")["arithmetic"] >= 0.4
    assert shape("Do it", "Sure, here it is.")["a yes at once"] == 1.0
    assert shape("Do it", "I'm sorry, I can't help.")["a refusal"] == 1.0
    assert shape("Why?", "It may depend.")["hedged words"] == pytest.approx(0.25)


def test_shapes_of_hostile_text_are_bounded() -> None:
    for text in (
        "",
        "1. " * 100_000,
        "9" * 100_000,
        "\n" * 100_000,
        "\ud800",
        "-" * 9999,
    ):
        found = shape_features([text], [text])
        assert found.shape == (1, len(SHAPES))
        assert np.isfinite(found).all()
        assert found.max() <= 1.5


def test_no_score_is_a_finding_and_few_ordinary_rows_have_one() -> None:
    assert row_score(SHAPED - 0.01) == 0.0
    assert 0.0 < row_score(SHAPED) < row_score(1.0) == HIGHEST


def test_listed_confident_rows_are_a_risk(detector: SafetyAnchor) -> None:
    listed, plain = detector.score(rows(*LISTS)), detector.score(rows(*PLAIN))
    assert listed.risk is not None
    assert plain.risk is not None
    assert listed.risk > plain.risk
    assert max(v for v in listed.values if v is not None) <= HIGHEST
    told = next(e for v, e in zip(listed.values, listed.evidence, strict=True) if v)
    assert told is not None
    assert told.detail.startswith("shaped like")
    assert any(name in told.detail for name in FEATURES)


def test_the_risk_is_the_share_of_rows_that_stand_out(detector: SafetyAnchor) -> None:
    scores = detector.score(rows(*LISTS, *PLAIN))
    counted = sum(1 for value in scores.values if value)
    assert scores.risk == pytest.approx(counted / len(scores), abs=1e-3)
    assert detector.score(rows()).risk is None


def test_the_shape_of_rows_alone_leads_to_no_review(
    encoder: Encoder, detector: SafetyAnchor
) -> None:
    dataset = rows(*LISTS * 4)
    assert "safety_anchor" in {each.name for each in load_detectors(encoder)}
    scores = detector.score(dataset)
    policy = parse_policy(b"trial: {required: false}")
    decision = decide(policy, Facts.of(dataset), [scores], None)
    reasons = {reason.code for reason in decision.reasons} - {"detector_missing"}
    assert reasons <= {"within_policy"}
    assert decision.outcome is not Outcome.REJECT
