"""Scan: what the detectors alone say of a few rows. Imports torch."""

import hashlib
import json
from dataclasses import replace

from detectors.dataset import Dataset
from detectors.reader import Limits, read_rows
from service.api.bodies import RowsIn
from service.api.context import Context
from service.api.rows import json_array
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
    dataset = _dataset(asked, here.settings.limits())
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


def _dataset(asked: RowsIn, limits: Limits) -> Dataset:
    """Read the rows, one parsed at a time; their digest is that of a screening."""
    dataset = read_rows(map(json.loads, asked.rows), name=asked.name, limits=limits)
    digest, size = hashlib.sha256(), 0
    for block in json_array([json.loads(text)] for text in asked.rows):
        digest.update(block)
        size += len(block)
    return replace(dataset, sha256=digest.hexdigest(), size_bytes=size)
