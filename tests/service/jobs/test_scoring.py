"""A detector is cut off in the midst of its rows, and goes on behind the last chunk."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from detectors.chunk import score_in_chunks
from detectors.dataset import Dataset, Example
from detectors.detector import RowDetector, Scores
from detectors.moderation.off import Off
from service.caller import OPEN
from service.jobs.backend import Backend
from service.jobs.scoring import KeptChunks, TimedScores
from service.jobs.steps import Abandoned, Equipment, Gone, Steps
from service.models import Models
from service.policy import default_policy
from service.screening import screen
from service.storage.checkpoint import Checkpoints
from service.storage.screening import Order
from trial.recipe import Recipe

SAID = [f"Where is {'BAD' if n % 5 == 0 else 'parcel'} {n}?" for n in range(20)]
CHUNKS = [range(1, 9), range(9, 17), range(17, 21)]
"""Lines of the rows that the fakes score at once."""


class CutOff(BaseException):
    """The process ends, wherever it is."""


class Watched:
    """A detector whose chunks are noted; `before` is called ahead of each."""

    def __init__(self, inner: Any, before: Callable[[], None] = lambda: None) -> None:
        self._inner = inner
        self._before = before
        self.name, self.version = inner.name, inner.version
        self.rows_at_once = inner.rows_at_once
        self.scored: list[range] = []

    def score(self, dataset: Dataset) -> Scores:
        return score_in_chunks(self, dataset)

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        self._before()
        lines = [example.origin.line for example in examples]
        self.scored.append(range(lines[0], lines[-1] + 1))
        scores: Scores = self._inner.score_alone(examples)
        return scores

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        """Lift the first row: what only the whole shows."""
        scores: Scores = self._inner.compare(dataset, alone)
        return replace(scores, values=(0.95, *scores.values[1:]))


class Cut:
    """Does something at its `at`-th call."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self._left = at
        self._act = act

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


def fall() -> None:
    raise CutOff


@pytest.fixture
def submit(backend: Backend, row: Callable[..., dict[str, Any]]) -> Callable[[], str]:
    """Return a function that submits the rows; it returns the id."""

    def make() -> str:
        content = "".join(json.dumps(row(said)) + "\n" for said in SAID)
        upload = backend.store.datasets.receive(BytesIO(content.encode()))
        order = Order("rows", default_policy(), Recipe(), run_trial=False)
        return backend.accept(order, upload, OPEN).id

    return make


def begin(
    backend: Backend,
    models: Models,
    screening: str,
    stopping: Callable[[], bool] = lambda: False,
) -> Steps:
    """Return the steps of a screening as a new process has them."""
    equipment = Equipment(
        store=backend.store,
        sources=None,  # type: ignore[arg-type]  # nothing is fetched here
        queue=backend.queues,
        models=lambda: models,
        load_moderator=lambda models, spent: Off(),
        limits=backend.settings.limits(),
        runner=None,
        stopping=stopping,
    )
    steps = Steps(equipment, screening)
    steps.ingest()
    return steps


def watch(models: Models, before: Callable[[], None] = lambda: None) -> Models:
    """Return the models with their first detector watched."""
    first, *others = models.detectors
    return replace(models, detectors=(Watched(first, before), *others))


def go_through(steps: Steps, models: Models) -> None:
    for detector in models.detectors:
        steps.detect(detector.name)
    assert steps.count_batches() == {"batches": 0}
    steps.conclude(0)


def report(backend: Backend, screening: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(backend.holdings(OPEN).report(screening))
    del found["timings"]
    return found


def test_a_detector_that_was_cut_off_goes_on_behind_its_last_chunk(
    backend: Backend, models: Models, submit: Callable[[], str]
) -> None:
    calm, cut, whole = submit(), submit(), watch(models)
    go_through(begin(backend, whole, calm), whole)
    assert whole.detectors[0].scored == CHUNKS

    falls = watch(models, Cut(3, fall))
    with pytest.raises(CutOff):
        begin(backend, falls, cut).detect("explicit_harm")
    assert falls.detectors[0].scored == CHUNKS[:2]
    after = watch(models)
    go_through(begin(backend, after, cut), after)
    assert after.detectors[0].scored == CHUNKS[2:]
    assert report(backend, cut) == report(backend, calm)


def test_a_durable_screening_says_what_one_at_the_command_line_says(
    backend: Backend, models: Models, submit: Callable[[], str]
) -> None:
    screening, watched = submit(), watch(models)
    steps = begin(backend, watched, screening)
    go_through(steps, watched)
    made = screen(
        steps._dataset,
        policy=default_policy(),
        recipe=Recipe(),
        detectors=watched.detectors,
        encoder=models.encoder,
        run_trial=False,
    )
    told = json.loads(made.to_json())
    del told["timings"]
    assert told == report(backend, screening)


def test_a_process_that_stops_scores_no_further_chunk(
    backend: Backend, models: Models, submit: Callable[[], str]
) -> None:
    stopped: list[bool] = []
    watched = watch(models, Cut(2, lambda: stopped.append(True)))
    steps = begin(backend, watched, submit(), lambda: bool(stopped))
    with pytest.raises(Abandoned):
        steps.detect("explicit_harm")
    assert watched.detectors[0].scored == CHUNKS[:2]


@pytest.mark.parametrize("way", ["delete", "cancel"])
def test_a_screening_that_goes_has_no_further_chunk_scored(
    backend: Backend,
    models: Models,
    submit: Callable[[], str],
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.jobs.steps.TELL_SECONDS", 0.0)
    screening = submit()
    watched = watch(models, Cut(2, lambda: getattr(backend, way)(screening, OPEN)))
    with pytest.raises(Gone):
        begin(backend, watched, screening).detect("explicit_harm")
    assert watched.detectors[0].scored == CHUNKS[:2]
    if way == "delete":
        assert backend.store.objects.keys("screenings") == []


@pytest.fixture
def kept(backend: Backend, submit: Callable[[], str]) -> Checkpoints:
    return Checkpoints(backend.store.objects, submit())


def chunk(kept: Checkpoints, detector: RowDetector, rows: Dataset) -> KeptChunks:
    """Have the first chunk scored or found again."""
    chunks = KeptChunks(kept, kept.put)
    chunks.score(detector, 0, rows[:8])
    return chunks


def test_chunks_found_again_bring_the_seconds_they_took(
    backend: Backend, models: Models, kept: Checkpoints, submit: Callable[[], str]
) -> None:
    rows = begin(backend, models, submit())._dataset
    detector = Watched(models.detectors[0])
    assert chunk(kept, detector, rows).seconds_before == 0.0
    made = kept.get("scores-explicit_harm-0", TimedScores)
    kept.put("scores-explicit_harm-0", replace(made, seconds=7.0))
    assert chunk(kept, detector, rows).seconds_before == 7.0
    assert detector.scored == CHUNKS[:1]


def test_what_another_version_said_of_a_chunk_is_not_taken(
    backend: Backend, models: Models, kept: Checkpoints, submit: Callable[[], str]
) -> None:
    rows = begin(backend, models, submit())._dataset
    old, new = Watched(models.detectors[0]), Watched(models.detectors[0])
    new.version = "fake-2"
    for detector in (old, new):
        chunk(kept, detector, rows)
        assert detector.scored == CHUNKS[:1]


def test_what_was_said_of_a_chunk_that_ended_elsewhere_is_not_taken(
    backend: Backend, models: Models, kept: Checkpoints, submit: Callable[[], str]
) -> None:
    rows = begin(backend, models, submit())._dataset
    shorter, detector = Watched(models.detectors[0]), Watched(models.detectors[0])
    KeptChunks(kept, kept.put).score(shorter, 0, rows[:5])
    chunk(kept, detector, rows)
    assert detector.scored == CHUNKS[:1]
