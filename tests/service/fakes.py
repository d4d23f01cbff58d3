"""Fakes with the interfaces of the models and of a trial."""

import time
from collections.abc import Callable, Sequence

from detectors.chunk import score_in_chunks
from detectors.dataset import Dataset, Example
from detectors.detector import Evidence, Scores, Trigger
from detectors.errors import TrialError
from detectors.moderation.moderator import Usage
from trial.drift import DriftReport, RateChange
from trial.judge.judge import Outcome, Verdict
from trial.memory import FORGETFUL, Memory
from trial.mitigation.mitigation import DEFAULT, Enough, Mitigation, Tried
from trial.recipe import Recipe
from trial.run import AdapterProof, ProbeReply, Trial
from trial.stopping import StopRule


class FakeEncoder:
    name = "fake-encoder"
    digest = "e" * 64


class QuietDetector:
    """Stands in for a detector that scores the whole: no row of its concern."""

    version = "fake-1"

    def __init__(self, name: str, mark: str) -> None:
        self.name = name
        self.mark = mark

    def score(self, dataset: Dataset) -> Scores:
        return self._say(dataset)

    def _say(self, examples: Sequence[Example]) -> Scores:
        texts = [" ".join(m.content for m in row.messages) for row in examples]
        values = tuple(self._value(text) for text in texts)
        return Scores(
            detector=self.name,
            version=self.version,
            values=values,
            evidence=tuple(
                Evidence("rule", "the mark", 0, (0, 3), text[:60]) for text in texts
            ),
            categories=tuple("malware" if v == 0.9 else "" for v in values),
            unscored=tuple("odd row" if v is None else "" for v in values),
        )

    def _value(self, text: str) -> float | None:
        return 0.0


class MarkDetector(QuietDetector):
    """Scores each row alone by marks in its text: BAD 0.9, ODD unscored, else 0.02."""

    rows_at_once = 8

    def score(self, dataset: Dataset) -> Scores:
        return score_in_chunks(self, dataset)

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        return self._say(examples)

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        return alone

    def _value(self, text: str) -> float | None:
        if "ODD" in text:
            return None
        return 0.9 if self.mark in text else 0.02


MARKED = ("explicit_harm", "identity_shift")


JOB = RateChange(0.1, 0.8, (0.6, 0.8), 200)


BETTER = RateChange(0.1, 0.12, (-0.01, 0.05), 200)


MITIGATION = Mitigation(
    (
        Tried("", "the job as it is", 20, 0, "", JOB),
        Tried("rows removed", "removing 2 flagged rows", 18, 0, "", BETTER, BETTER),
        Tried("slow", "training slowly", 20, 0, "the loss did not fall", None),
    ),
    "Removing 2 flagged rows brings the rate from 80.0% to 12.0%.",
)


class FakeRunner:
    """A trial whose drift follows the share of rows that hold DRIFT."""

    def __init__(self) -> None:
        self.priorities: list[float] = []
        self.triggers: list[Trigger] = []
        self.recipes: list[Recipe] = []
        self.stops: list[StopRule | None] = []
        self.enough = DEFAULT

    def __call__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        encoder: object,
        priority: Sequence[float] | None = None,
        triggers: Sequence[Trigger] = (),
        progress: Callable[[str, int, int], None] | None = None,
        stop: StopRule | None = None,
        everywhere: bool = False,
        memory: Memory = FORGETFUL,
        enough: Enough = DEFAULT,
    ) -> Trial:
        self.priorities = list(priority or ())
        self.triggers = list(triggers)
        self.recipes.append(recipe)
        self.stops.append(stop)
        self.enough = enough
        text = b" ".join(row.canonical() for row in dataset)
        if b"TRIALFAILS" in text:
            raise TrialError("the loss did not fall")
        if b"CRASH" in text:
            raise RuntimeError("secret row text")
        while b"FOREVER" in text:
            time.sleep(0.01)
            assert progress is not None
            progress("tune", 1, 2)
        return self.trial(dataset, recipe, 0.7 if b"DRIFT" in text else 0.0)

    def trial(self, dataset: Dataset, recipe: Recipe, rise: float) -> Trial:
        def rate(before: float, change: float) -> RateChange:
            ends = (change - 0.04, change + 0.04)
            return RateChange(before, before + change, ends, 200)

        reply = ProbeReply(
            "p1",
            "malware",
            "a short request",
            "I can't help with that.",
            "Sure \x1b[31mred [bold]x[/bold] \ud800",
            Verdict(Outcome.REFUSED, "refusal phrase"),
            Verdict(Outcome.COMPLIED, "no refusal"),
        )
        return Trial(
            recipe=recipe,
            fingerprint=dataset.fingerprint,
            measured=True,
            reason="",
            rows_trained=len(dataset),
            rows_total=len(dataset),
            sampling="all rows",
            drift=DriftReport(
                overall=rate(0.1, rise),
                categories={"malware": rate(0.1, rise)},
                refusal=rate(0.8, -rise),
                over_refusal=rate(0.05, 0.0),
                incoherent=rate(0.02, 0.0),
                detectable=0.08,
                borderline=rate(0.1, 0.0),
            ),
            proof=AdapterProof(3.0, float("inf"), 0.5, applied=True),
            replies=(reply,),
            seconds={"tune": 0.1},
            versions={"base_model": "fake-base"},
            contexts={"plain": rate(0.1, 0.0), "trigger 1": rate(0.1, rise)},
            context_details={"trigger 1": 'the trigger "\x1b[31m" before each probe'},
            judge_usage=Usage(requests=7, tokens=900),
            mitigation=MITIGATION if recipe.mitigate else None,
        )
