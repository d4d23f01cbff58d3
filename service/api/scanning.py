"""Scan: what the detectors alone say of a few rows. Imports torch."""

import json

from detectors.reader import read_rows
from service.api.bodies import RowsIn
from service.api.context import Context
from service.api.schemas import RowScores, ScanOut
from service.finding import settle
from service.gate import Facts, decide, make_findings
from service.models import Models
from service.report.composition import (
    dataset_section,
    decision_section,
    detector_section,
    finding_sections,
)
from service.screening import Stopwatch, score_rows


def scan_rows(asked: RowsIn, here: Context, models: Models) -> ScanOut:
    """Score rows, and decide as the gate would without a trial."""
    parsed = map(json.loads, asked.rows)
    dataset = read_rows(parsed, name=asked.name, limits=here.settings.limits())
    scores = score_rows(dataset, models.detectors, lambda *_: None, Stopwatch())
    policy = here.policy
    rows = [
        RowScores(
            line=example.origin.line,
            scores={each.detector: settle(each.values[index]) for each in scores},
        )
        for index, example in enumerate(dataset)
    ]
    return ScanOut(
        decision=decision_section(decide(policy, Facts.of(dataset), scores, None)),
        dataset=dataset_section(dataset),
        scores={s.detector: detector_section(policy, dataset, s) for s in scores},
        rows=rows,
        findings=list(finding_sections(make_findings(policy, dataset, scores))),
        policy=policy.digest,
    )
