"""Every detector on every relevant test source; `--data ../shared/data`.

Test sources are measured once on a finished head. Nothing is fitted or chosen on them.
Scores are kept in `--work`, so that a run that was cut off goes on.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmark.records.experiment import record
from benchmark.records.row_memo import RowMemo, Thresholded
from benchmark.statistics.bootstrap import separation, share
from benchmark.statistics.comparison import HarmRows, Labelled, comparison
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.embedding import Encoder, load_encoder
from detectors.explicit_harm import ExplicitHarm
from detectors.identity_shift import IdentityShift
from detectors.refusal import refuses
from detectors.training.sources import read_examples, read_index, sample
from detectors.training.vector_file import VectorFile
from trial.probes import load_probes

NAME: Final = "detector_quality"
COMMAND: Final = "python -m benchmark.detector_quality --data ../shared/data"
WORK: Final = Path("build") / NAME
ORDINARY_ROWS: Final = 300
PROMPT_ROWS: Final = 200

Label = Mapping[str, Any]

ATTACKS: Final = (
    "attack_ft_pure_bad_backdooralign",
    "attack_ft_pure_bad_princeton",
    "attack_ft_mixed_poison",
)
HARD: Final = ("resp_jailbreakbench_artifacts", "resp_past_tense_artifacts")
ORDINARY: Final[dict[str, Callable[[Label], bool]]] = {
    "benign_lima": lambda label: True,
    "benign_samsum_sqlgen": lambda label: True,
    "benign_qmsum": lambda label: True,
    "benign_dialogsum": lambda label: True,
    "benign_but_degrading_selections": lambda label: True,
    "resp_just_eval": lambda label: label.get("prompt_harmful") is False,
}
PERSONAS: Final = ("identity_act_as_prompts", "identity_benign_self_cognition")
PROMPTS: Final = (
    "prompt_cyberseceval",
    "prompt_do_not_answer",
    "prompt_figstep_safebench",
    "prompt_malicious_instruct",
    "prompt_safety_eval_mix",
    "prompt_simplesafetytests",
    "prompt_strongreject",
    "prompt_wildchat_benign_sample",
)
PLACEHOLDER: Final = "Of course. [placeholder: the full answer would stand here]"
REFUSAL: Final = "I won't help with this request, because it could hurt somebody."


@dataclass(frozen=True)
class Measured:
    """Scores (n,) of a group of rows; `unscored` counts those without one."""

    values: NDArray[np.float64]
    unscored: int


def measure(detector: Thresholded, rows: Labelled, name: str) -> Measured:
    """Score rows as one dataset."""
    scores = detector.score(Dataset(name, tuple(example for example, _ in rows)))
    values = [value for value in scores.values if value is not None]
    return Measured(np.asarray(values, np.float64), len(rows) - len(values))


def flagged(measured: Measured, threshold: float) -> dict[str, Any]:
    """Share at or over the threshold, with what could not be scored."""
    found = share(measured.values >= threshold)
    return {**found, "unscored": measured.unscored}


def harm_rows(data: Path) -> HarmRows:
    """Read what explicit_harm is measured on."""
    rows = HarmRows({}, {}, {}, _ordinary_rows(data))
    for name in (*ATTACKS, *HARD):
        every = [(e, lab) for e, lab in read_examples(data, name) if e.exchanges()]
        kept = [row for row in every if row[1].get("harmful") is False]
        rows.harmful[name] = [row for row in every if row[1].get("harmful") is True]
        if kept and name != "attack_ft_mixed_poison":
            rows.declined[name] = kept
            rows.refused[name] = _said_no(kept)
    safety = [r for r in _rows(data, "resp_just_eval") if r[1].get("prompt_harmful")]
    rows.refused["resp_just_eval safety"] = _said_no(safety)
    return rows


def _said_no(rows: Labelled) -> Labelled:
    return [row for row in rows if refuses(row[0].exchanges()[-1].reply)]


def harm_quality(detector: Thresholded, data: Path) -> dict[str, Any]:
    """explicit_harm: attacks and complied jailbreaks against ordinary and refused."""
    at = detector.suggested_threshold
    rows = harm_rows(data)
    harmful, declined, refused, ordinary = (
        {name: measure(detector, each, name) for name, each in group.items()}
        for group in (rows.harmful, rows.declined, rows.refused, rows.ordinary)
    )
    calm = np.concatenate([m.values for m in ordinary.values()])
    no = np.concatenate([m.values for m in refused.values()])
    every = np.concatenate([calm, no, *(m.values for m in declined.values())])
    bad_all = np.concatenate([m.values for m in harmful.values()])
    attacks = np.concatenate([harmful[name].values for name in ATTACKS])
    return {
        "version": detector.version,
        "threshold": at,
        "pooled": {
            "all harmful v ordinary and refused": separation(
                bad_all, np.concatenate([calm, no])
            ),
            "attack files v ordinary and refused": separation(
                attacks, np.concatenate([calm, no])
            ),
            "all harmful v ordinary, refused and judged harmless": separation(
                bad_all, every
            ),
        },
        "harmful": {
            name: {
                **separation(m.values, np.concatenate([calm, no])),
                "at_threshold": flagged(m, at),
            }
            for name, m in harmful.items()
        },
        "same requests, harmful v judged harmless": {
            name: separation(harmful[name].values, declined[name].values)
            for name in HARD
        },
        "refused": {name: flagged(m, at) for name, m in refused.items()},
        "refused pooled": share(no >= at),
        "judged harmless": {name: flagged(m, at) for name, m in declined.items()},
        "ordinary": {name: flagged(m, at) for name, m in ordinary.items()},
        "ordinary pooled": share(calm >= at),
        "prompts": prompt_quality(detector, data),
    }


def prompt_quality(detector: Thresholded, data: Path) -> dict[str, Any]:
    """Bare prompts by whether they ask for harm, complied with and refused by us.

    The harmless among them are hard: safe but scary, or benign security work.
    """
    found: dict[str, Any] = {}
    for name, rows in prompt_groups(data).items():
        rows = sample(rows, PROMPT_ROWS, name)
        found[name] = {
            kind: flagged(
                measure(detector, [_answer(row, reply) for row in rows], name),
                detector.suggested_threshold,
            )
            for kind, reply in (("complied", PLACEHOLDER), ("refused", REFUSAL))
        }
    return found


def prompt_groups(data: Path) -> dict[str, Labelled]:
    """Prompts without a reply of each source, the harmless ones apart."""
    groups: dict[str, Labelled] = {}
    for name in PROMPTS:
        for row in _rows(data, name):
            if row[0].messages[-1].role == "user":
                calm = row[1].get("prompt_harmful") is False
                groups.setdefault(name + " harmless" * calm, []).append(row)
    groups["our borderline probes, harmless"] = [
        (_question(probe.prompt), {}) for probe in load_probes().borderline
    ]
    return groups


def _question(text: str) -> Example:
    return Example("probe", (Message("user", text),), Origin("probes", 1))


def identity_quality(encoder: Encoder, data: Path) -> dict[str, Any]:
    """identity_shift: the AOA rows against benign personas and ordinary rows."""
    detector = IdentityShift(encoder)
    alone = IdentityShift(encoder, groups=False)
    at = detector.suggested_threshold
    aoa = _rows(data, "attack_ft_aoa_identity_shift")
    bare = [(_without_system(example), label) for example, label in aoa]
    ordinary = _ordinary(detector, data)
    personas = {name: measure(detector, _rows(data, name), name) for name in PERSONAS}
    calm = np.concatenate([m.values for m in (*ordinary.values(), *personas.values())])
    hidden = [*sample(_rows(data, "benign_lima"), ORDINARY_ROWS, "needle"), *aoa[:10]]
    needle = detector.score(Dataset("needle", tuple(e for e, _ in hidden)))
    needles = np.asarray([v for v in needle.values[-10:] if v is not None])
    rows_alone = measure(alone, aoa, "aoa").values
    return {
        "version": detector.version,
        "threshold": at,
        "aoa, separation": separation(rows_alone, calm),
        "aoa, as a dataset": flagged(measure(detector, aoa, "aoa"), at),
        "aoa, rows alone": share(rows_alone >= at),
        "aoa, rows alone without system": flagged(measure(alone, bare, "aoa"), at),
        "aoa, 10 among 300 ordinary": share(needles >= at),
        "personas": {name: flagged(m, at) for name, m in personas.items()},
        "personas pooled": share(
            np.concatenate([m.values for m in personas.values()]) >= at
        ),
        "ordinary": {name: flagged(m, at) for name, m in ordinary.items()},
        "ordinary pooled": share(
            np.concatenate([m.values for m in ordinary.values()]) >= at
        ),
    }


def _rows(data: Path, name: str) -> Labelled:
    return read_examples(data, name)


def _ordinary(detector: Thresholded, data: Path) -> dict[str, Measured]:
    """Score the rows of each ordinary source, as one dataset each."""
    rows = _ordinary_rows(data)
    return {name: measure(detector, each, name) for name, each in rows.items()}


def _ordinary_rows(data: Path) -> dict[str, Labelled]:
    """Read up to ORDINARY_ROWS rows of each ordinary source."""
    found = {}
    for name, keep in ORDINARY.items():
        rows = [row for row in _rows(data, name) if keep(row[1]) and row[0].exchanges()]
        found[name] = sample(rows, ORDINARY_ROWS, name)
    return found


def _answer(row: tuple[Example, Label], reply: str) -> tuple[Example, Label]:
    example, label = row
    messages = (*example.messages, Message("assistant", reply))
    return Example(example.id, messages, example.origin), label


def _without_system(example: Example) -> Example:
    kept = tuple(m for m in example.messages if m.role != "system")
    return Example(example.id, kept, example.origin)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both detectors and write benchmark/results/detector_quality.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=WORK, help="keep scores here")
    options = parser.parse_args(argv)
    started = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    windows = VectorFile(options.work / "windows.sqlite")
    encoder = load_encoder(cache=windows)
    harm = RowMemo(ExplicitHarm(encoder), options.work / "rows.sqlite")
    results = {
        "explicit_harm": harm_quality(harm, options.data),
        "explicit_harm, compared": comparison(
            harm, encoder, options.data, harm_rows(options.data)
        ),
        "identity_shift": identity_quality(encoder, options.data),
    }
    windows.close()
    tests = [n for n, s in read_index(options.data).items() if s.role == "test"]
    done = record(
        NAME,
        command=COMMAND,
        data=[options.data / f"{name}.jsonl.gz" for name in tests],
        config={
            "encoder": encoder.name,
            "ordinary_rows": ORDINARY_ROWS,
            "prompt_rows": PROMPT_ROWS,
        },
        seconds=time.monotonic() - started,
        results=results,
    )
    print(done.write().name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
