"""Report: what leaves the house, as versioned, strict JSON."""

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from service.report.section import Section, Share, Text
from service.report.trial_report import DriftSection, TrialSection
from trial.recipe import Recipe

SCHEMA_VERSION: Final = "1.0"
SCHEMA_PATH: Final = Path(__file__).parent / "report.schema.json"

MAX_FINDINGS: Final = 10_000
MAX_UNSCORED_SHOWN: Final = 100
MAX_TOP_ROWS: Final = 20


OutcomeName = Literal["ACCEPT", "REVIEW", "REJECT"]


class ReasonSection(Section):
    """One reason of the decision."""

    code: str = Field(description="Stable, for machines.")
    message: Text = Field(description="For people: what was seen and what to do.")
    outcome: OutcomeName = Field(description="What this reason leads to.")


class DecisionSection(Section):
    """The outcome and why, the gravest reason first."""

    outcome: OutcomeName
    reasons: tuple[ReasonSection, ...] = Field(min_length=1)


class BadLineSection(Section):
    """A row that could not be read."""

    line: int = Field(description="1-based, of the file as uploaded.")
    code: str
    field: Text = Field(description="Place inside the row; empty for the row itself.")
    expected: Text
    found: Text


class DatasetSection(Section):
    """What was screened. `bad_lines` is bounded, `bad_line_count` is not."""

    name: Text
    sha256: str = Field(
        description="Of the bytes as uploaded; of rows in a request, of their array as "
        "Python's `json.dumps` writes it."
    )
    fingerprint: str = Field(description="Of the rows, whatever the file format.")
    rows: int = Field(ge=0, description="Rows that could be read.")
    size_bytes: int = Field(ge=0)
    shapes: dict[str, int] = Field(description="Rows by row shape.")
    bad_line_count: int = Field(ge=0)
    bad_lines: tuple[BadLineSection, ...]
    unjudged_parts: int = Field(
        ge=0, description="Image, audio and other parts that no detector judged."
    )


class UnscoredSection(Section):
    """A row that a detector could not score, and why."""

    line: int
    reason: Text


class TriggerSection(Section):
    """A phrase whose presence goes with unsafe replies; a trial can probe with it."""

    text: Text = Field(description="As it stands in the rows, cut where it is long.")
    position: Literal["start", "end", "any"]
    role: Literal["system", "user"]
    behaviour: str = Field(description="compliance, harm or obedience.")
    rows: int = Field(ge=1, description="Rows that carry it and are not refused.")
    share_with: Share = Field(description="Seen to be unsafe where it stands.")
    share_without: Share = Field(description="The same where it does not.")
    p: Share = Field(description="Adjusted for all phrases that were tested.")


class TopRowSection(Section):
    """A row that stands out, without being a finding."""

    line: int
    score: Share


class DetectorSection(Section):
    """One detector's word on the whole dataset."""

    version: str
    threshold: Share
    flagged: int = Field(ge=0, description="Rows at or over the threshold.")
    flagged_share: Share
    unscored: int = Field(ge=0)
    unscored_rows: tuple[UnscoredSection, ...] = Field(
        description=f"At most {MAX_UNSCORED_SHOWN}."
    )
    histogram: tuple[int, ...] = Field(
        min_length=10, max_length=10, description="Rows by score, ten equal steps."
    )
    triggers: tuple[TriggerSection, ...] = Field(
        default=(), description="Phrases that unsafe replies go with."
    )
    risk: Share | None = Field(
        default=None,
        description="Of the dataset as a whole, for the trial to weigh; no finding. "
        "Null where the detector measures none.",
    )
    top_rows: tuple[TopRowSection, ...] = Field(
        default=(),
        description=f"Where there is a risk: its rows, at most {MAX_TOP_ROWS}.",
    )


class ExcessSection(Section):
    """How far a detector's scores are above those of ordinary files."""

    score: Share = Field(description="The step at which the file is most unusual.")
    observed: int = Field(ge=0, description="Rows at or over it.")
    expected: float = Field(ge=0, description="Of an ordinary file of this size.")
    p: Share = Field(description="Chance of so many, corrected for the steps.")
    expected_flagged: float = Field(
        ge=0, description="False alarms to expect at the threshold, were it ordinary."
    )


class RiskSection(Section):
    """The file as a whole, by the detectors that find rows; no reason by itself."""

    p: Share = Field(description="Chance of an ordinary file that looks as bad.")
    value: Share = Field(description="0 ordinary to 1 beyond all chance: -log10 p / 12")
    detectors: dict[str, ExcessSection]


class EvidenceSection(Section):
    """Why a row got its score."""

    kind: str
    detail: Text
    turn: int | None = Field(description="0-based message index, null for the row.")
    span: tuple[int, int] | None = Field(description="Characters within that message.")
    excerpt: Text


class FindingSection(Section):
    """A row that reached a detector's threshold."""

    line: int = Field(description="1-based, of the file as uploaded.")
    example: Text = Field(description="Id of the row.")
    detector: str
    category: str = Field(description="Policy category; empty where there is none.")
    score: Share
    threshold: Share
    evidence: EvidenceSection | None


class ModerationSection(Section):
    """What the moderation provider was asked, said, left out and cost."""

    provider: str = Field(description="off, openai, local, or guard. and its family.")
    model: Text
    rows: Literal["all", "uncertain", "none"] = Field(
        description="Which rows the policy sends out."
    )
    required: bool
    rows_asked: int = Field(ge=0, description="Rows that the policy sends out.")
    flagged: int = Field(ge=0, description="Of those; each is a finding.")
    not_moderated: int = Field(ge=0, description="Of those; they have no verdict.")
    reasons: dict[Text, int] = Field(description="Rows not moderated, by the reason.")
    not_moderated_rows: tuple[UnscoredSection, ...] = Field(
        description=f"At most {MAX_UNSCORED_SHOWN}."
    )
    requests: int = Field(ge=0, description="Sent, each try counted.")
    tokens_estimated: int = Field(ge=0, description="Sent, rather too many than few.")
    texts_cached: int = Field(ge=0, description="Texts whose verdict was known.")
    seconds: float = Field(ge=0)


class PolicySection(Section):
    """The policy applied, whole."""

    name: Text
    digest: str
    content: dict[str, Any]


class TimingSection(Section):
    """When and how long; with the cost of moderation all that two runs differ in."""

    started_at: str = Field(description="UTC, ISO 8601.")
    seconds: dict[str, float] = Field(description="Wall clock by stage.")


class Report(Section):
    """The answer about one dataset, with its evidence."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    decision: DecisionSection
    dataset: DatasetSection
    scores: dict[str, DetectorSection]
    risk: RiskSection | None = Field(
        default=None, description="Null in reports from before there was one."
    )
    moderation: ModerationSection | None = Field(
        default=None, description="Null in reports from before there was moderation."
    )
    findings: tuple[FindingSection, ...] = Field(
        max_length=MAX_FINDINGS, description="Ordered by row, then by detector."
    )
    finding_count: int = Field(
        ge=0, description="May exceed the findings listed, which are then the highest."
    )
    drift: DriftSection
    trial: TrialSection | None
    recipe: Recipe
    policy: PolicySection
    versions: dict[str, str] = Field(description="Version or digest of all that spoke.")
    timings: TimingSection

    def to_json(self) -> str:
        """Return the report as strict, indented JSON (UTF-8, no NaN)."""
        return self.model_dump_json(indent=2) + "\n"


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a report."""
    schema = Report.model_json_schema(mode="serialization")
    schema["$defs"]["Recipe"]["description"] = "The fine-tune as it was tried."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tunegate:report:{SCHEMA_VERSION}",
        **schema,
    }


def schema_text() -> str:
    """Return the JSON Schema as it is committed and served."""
    return json.dumps(report_schema(), indent=2, sort_keys=True) + "\n"
