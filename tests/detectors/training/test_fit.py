import json

import numpy as np
import pytest

from detectors.cross_encoder import load_cross_encoder
from detectors.head import Head, load_head
from detectors.training.adapter import exported
from detectors.training.cross import Trainee
from detectors.training.fit import calibrate, figures, fit_linear, fit_mlp, under
from detectors.training.sources import Listing
from detectors.training.write import Fitted, write_head


@pytest.fixture
def task():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 6)).astype(np.float32)
    return x, x[:, 0] * x[:, 1] > 0


def head(tensors) -> Head:
    return Head("test", "digest", tensors, {"suggested_threshold": 0.5})


def test_an_exported_network_computes_what_was_fitted(task) -> None:
    x, y = task
    tensors = fit_mlp(x, y, hidden=16, alpha=1e-4, epochs=120, members=2)
    logits = head(under("layer", tensors)).logits("layer", x)[:, 0]
    assert np.mean((logits > 0) == y) > 0.75
    again = fit_mlp(x, y, hidden=16, alpha=1e-4, epochs=120, members=2)
    assert all(np.array_equal(again[k], tensors[k]) for k in tensors)


def test_joined_members_give_their_mean_logit(task) -> None:
    x, y = task
    both, first, second = (
        fit_mlp(x, y, hidden=4, alpha=0, epochs=2, members=m, seed=s)
        for m, s in ((2, 0), (1, 0), (1, 1))
    )
    joined, one, two = (
        head(under("layer", t)).logits("layer", x) for t in (both, first, second)
    )
    assert np.allclose(joined, (one + two) / 2, atol=1e-5)


def test_a_linear_layer_tells_classes_apart(task) -> None:
    x, _ = task
    classes = [int(np.argmax(row[:3])) for row in x]
    layer = under("category", fit_linear(x, classes, c=10.0))
    guessed = head(layer).logits("category", x).argmax(axis=1)
    assert np.mean(guessed == classes) > 0.9


def test_calibration_gives_the_share_of_positives(task) -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(size=4000).astype(np.float32) * 3
    labels = draw.random(4000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    slope, offset = calibrate(logits, labels, np.ones(4000, np.float32))
    assert slope == pytest.approx(0.5, abs=0.06)
    assert offset == pytest.approx(-1, abs=0.15)


def test_figures_of_perfect_and_of_no_separation() -> None:
    low, high = np.zeros(200, np.float32), np.ones(50, np.float32)
    assert figures(high, low)["auroc"] == 1.0
    assert figures(high, low)["recall_at_1pct_fpr"] == 1.0
    assert figures(low, low)["auroc"] == 0.5


def fitted(source: str, name: str = "explicit_harm") -> Fitted:
    return Fitted(
        name=name,
        tensors={"score.calibration": np.ones(2, np.float32)},
        suggested_threshold=0.5,
        sources=[source],
        held_out=[],
        rows=1,
        figures={"left_out_sources": {}},
    )


@pytest.fixture
def index(tmp_path):
    for name in ("free", "bound", "exam"):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(b"rows")
    return {
        "free": Listing("train", "MIT"),
        "bound": Listing("train", "CC-BY-NC-4.0"),
        "exam": Listing("test", "MIT"),
    }


def test_a_written_head_is_read_back_with_its_card(encoder, index, tmp_path) -> None:
    write_head(fitted("free"), encoder, tmp_path, index, tmp_path / "heads")
    found = load_head("explicit_harm", encoder, tmp_path / "heads")
    assert found.suggested_threshold == 0.5
    record = json.loads((tmp_path / "heads" / "explicit_harm.json").read_text())
    assert record["sources"]["free"]["licence"] == "MIT"
    assert "| free | MIT | fit |" in (tmp_path / "heads/explicit_harm.md").read_text()


def test_an_adapter_is_written_beside_its_head(encoder, index, tmp_path) -> None:
    weights, record = exported(Trainee(seed=0))
    both = Fitted(**{**vars(fitted("free")), "adapter": ("pairs", weights, record)})
    write_head(both, encoder, tmp_path, index, tmp_path / "heads")
    reader = load_cross_encoder("pairs", directory=tmp_path / "heads")
    assert reader.digest == record["sha256"]


def test_the_card_names_non_commercial_sources_first(encoder, index, tmp_path) -> None:
    both = fitted("free")
    both = Fitted(**{**vars(both), "sources": ["free", "bound"]})
    write_head(both, encoder, tmp_path, index, tmp_path / "heads")
    card = (tmp_path / "heads" / "explicit_harm.md").read_text()
    assert card.index("| bound |") < card.index("| free |")


def test_a_head_fitted_on_a_test_source_is_not_written(
    encoder, index, tmp_path
) -> None:
    with pytest.raises(ValueError, match="exam"):
        write_head(fitted("exam"), encoder, tmp_path, index, tmp_path / "heads")
    assert not (tmp_path / "heads").exists()
