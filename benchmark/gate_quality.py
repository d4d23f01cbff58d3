"""How often the gate is wrong: attacks accepted, benign files rejected.

python -m benchmark.gate_quality --data ../shared/data [--limit N] [--share K/N]

Every dataset of `benchmark.sets.gate` is decided on three times, by the same scores and
the same trial: the detectors alone (the policy then requires no trial), the trial alone
(every row scored 0) and both. The trial is always run as the service runs it, with what
the detectors found: "trial alone" says what its figures would have decided. What was
measured is kept as it comes beside the record, so that a run that was cut off goes on,
and that other limits of the policy decide anew on what is there.
`--limit` takes the first plans, which stand for all, and the record says how many of
all they are. `--share 1/2` and `--share 2/2` decide on half of them each, at the same
time, and write no record: the command without it does, of what they decided.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmark.records.experiment import RESULTS, record
from benchmark.records.progress import Progress
from benchmark.records.row_memo import ROWS_ALONE, RowMemo
from benchmark.records.share import pairs_of, part_of
from benchmark.records.witness import kept_scores, kept_trial, scores_of, trial_of
from benchmark.sets.gate import Plan, build, plans
from benchmark.statistics.bootstrap import share
from detectors.catalog import load_detectors
from detectors.dataset import Dataset
from detectors.detector import Detector, Scores
from detectors.embedding import Encoder, load_encoder
from detectors.moderation.off import Off
from detectors.training.vector_file import VectorFile
from service.gate import Decision, Facts, Outcome, decide
from service.moderation import moderate_dataset
from service.policy import Policy, default_policy
from service.screening import (
    Stopwatch,
    Suspicion,
    find_triggers,
    rank_rows,
    score_rows,
    silent,
    stop_rule,
    try_recipe,
)
from trial.base_model import load_base
from trial.judge.phrase import PhraseJudge
from trial.probes import load_probes
from trial.recipe import CANARY
from trial.trial import Trial

NAME: Final = "gate_quality"
COMMAND: Final = "python -m benchmark.gate_quality --data ../shared/data"
WORK: Final = Path("build") / NAME
DECISIONS: Final = RESULTS / f"{NAME}.jsonl"
ALONE: Final = ("detectors", "trial", "both")
ANCHOR: Final = (
    "auditing agents, arXiv 2510.16255: 56.2% of attacks detected at 1% false positives"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Decide on what is missing; with all of it there, write the record."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--decisions", type=Path, default=DECISIONS)
    parser.add_argument("--limit", type=int, default=0, help="so many datasets; 0: all")
    parser.add_argument("--share", type=part_of, default=(1, 1), metavar="K/N")
    options = parser.parse_args(argv)
    part, parts = options.share
    work = options.work / f"{part}-of-{parts}"
    work.mkdir(parents=True, exist_ok=True)
    windows = VectorFile(work / "windows.sqlite")
    encoder, policy = load_encoder(cache=windows), default_policy()
    detectors = [
        RowMemo(each, work / "rows.sqlite") if each.name in ROWS_ALONE else each
        for each in load_detectors(encoder)
    ]
    kept = Progress(options.decisions, stamp(policy, detectors))
    chosen = pairs_of(plans()[: options.limit or None], part, parts)
    found = {
        plan: settle(plan, options.data, policy, detectors, encoder, kept)
        for plan in chosen
    }
    windows.close()
    if parts > 1:
        return 0
    results = summarise(found)
    print(as_text(results))
    record(
        NAME,
        command=COMMAND,
        data=sorted(options.data.glob("*.jsonl.gz")),
        config={
            "policy": policy.digest,
            "canary_sha256": load_base(CANARY).digest,
            "datasets": len(found),
            "of_planned": len(plans()),
        },
        seconds=sum(each["seconds"]["total"] for each in found.values()),
        results=results,
    ).write()
    return 0


def stamp(policy: Policy, detectors: Sequence[Detector]) -> str:
    """Name what figures follow from: those of another stamp are measured anew."""
    judge, probes = PhraseJudge.version, load_probes().digest
    base = load_base(CANARY)
    rate = f"rate={base.default_learning_rate:g}"
    asked = f"{stop_rule(policy)} everywhere={policy.trial.all_contexts}"
    fixed = [base.digest, rate, asked, judge, probes]
    return " ".join([*fixed, *(each.version for each in detectors)])


def settle(
    plan: Plan,
    data: Path,
    policy: Policy,
    detectors: Sequence[Detector],
    encoder: Encoder,
    kept: Progress,
) -> Mapping[str, Any]:
    """Decide on one dataset by what was measured, from `kept` where it is there."""
    dataset = build(plan, data)
    found = kept.get(plan.name)
    new = found is None
    if found is None:
        found = measured(plan, dataset, policy, detectors, encoder)
        kept.put(plan.name, found)
    scores, done = scores_of(found["scores"]), trial_of(found["trial"])
    decisions = {
        name: _plain(decision)
        for name, decision in decide_three(policy, dataset, scores, done)
    }
    if new:
        outcomes = {name: each["outcome"] for name, each in decisions.items()}
        print(plan.name, outcomes, found["seconds"]["trial"], flush=True)
    return {"decisions": decisions, "seconds": found["seconds"]}


def measured(
    plan: Plan,
    dataset: Dataset,
    policy: Policy,
    detectors: Sequence[Detector],
    encoder: Encoder,
) -> dict[str, Any]:
    """Score one dataset and try it."""
    watch = Stopwatch()
    scores = score_rows(dataset, detectors, silent, watch)
    with watch.stage("trial"):
        done = tune(plan, dataset, policy, scores, encoder)
    return {
        "scores": kept_scores(scores),
        "trial": kept_trial(done),
        "seconds": {name: round(s, 1) for name, s in watch.total().items()},
    }


def tune(
    plan: Plan,
    dataset: Dataset,
    policy: Policy,
    scores: Sequence[Scores],
    encoder: Encoder,
) -> Trial:
    """Run the trial as the service does."""
    moderated = moderate_dataset(policy, dataset, scores, Off(), progress=silent)
    suspicion = Suspicion(
        rank_rows(policy, dataset, scores, moderated), find_triggers(scores)
    )
    return try_recipe(None, dataset, plan.recipe, encoder, suspicion, silent, policy)


def decide_three(
    policy: Policy, dataset: Dataset, scores: Sequence[Scores], done: Trial
) -> Iterable[tuple[str, Decision]]:
    """Decide by the detectors alone, the trial alone, and both."""
    facts = Facts.of(dataset)
    optional = policy.model_copy(
        update={"trial": policy.trial.model_copy(update={"required": False})}
    )
    quiet = [
        replace(s, values=(0.0,) * len(s), unscored=("",) * len(s)) for s in scores
    ]
    yield "detectors", decide(optional, facts, scores, None)
    yield "trial", decide(policy, facts, quiet, done)
    yield "both", decide(policy, facts, scores, done)


def _plain(decision: Decision) -> dict[str, Any]:
    codes = sorted({reason.code for reason in decision.reasons})
    return {"outcome": decision.outcome.value, "codes": codes}


def summarise(found: Mapping[Plan, Mapping[str, Any]]) -> dict[str, Any]:
    """Count wrong ACCEPTs and wrong REJECTs, with exact 95% intervals."""
    attacks = {plan: each for plan, each in found.items() if plan.family}
    benign = {plan: each for plan, each in found.items() if not plan.family}
    results: dict[str, Any] = {"anchor": ANCHOR}
    for name in ALONE:
        results[name] = {
            "wrong ACCEPT of attacks": _count(attacks, name, Outcome.ACCEPT),
            "REJECT of attacks": _count(attacks, name, Outcome.REJECT),
            "wrong REJECT of benign": _count(benign, name, Outcome.REJECT),
            "REVIEW of benign": _count(benign, name, Outcome.REVIEW),
        }
    results["both, wrong ACCEPT by family"] = {
        family: _count(part, "both", Outcome.ACCEPT)
        for family, part in _by(attacks, "family").items()
    }
    results["both, wrong ACCEPT by dilution"] = {
        f"{float(dilution):.0%}": _count(part, "both", Outcome.ACCEPT)
        for dilution, part in _by(attacks, "dilution").items()
    }
    results["both, not accepted by source"] = {
        source: _not_accepted(part) for source, part in _by(benign, "benign").items()
    }
    return results


Found = Mapping[Plan, Mapping[str, Any]]


def _by(found: Found, field: str) -> dict[str, Found]:
    groups: dict[str, dict[Plan, Mapping[str, Any]]] = {}
    for plan, each in found.items():
        groups.setdefault(str(getattr(plan, field)), {})[plan] = each
    return dict(sorted(groups.items()))


def _count(found: Found, name: str, outcome: Outcome) -> dict[str, Any] | None:
    """Share of datasets with that outcome; None where there are none."""
    if not found:
        return None
    said = [
        each["decisions"][name]["outcome"] == outcome.value for each in found.values()
    ]
    return share(np.asarray(said))


def _not_accepted(found: Found) -> dict[str, int]:
    """Count the reasons on benign files that were not accepted."""
    reasons: Counter[str] = Counter()
    for each in found.values():
        both = each["decisions"]["both"]
        if both["outcome"] != Outcome.ACCEPT.value:
            reasons.update(both["codes"])
    return dict(reasons.most_common())


def as_text(results: Mapping[str, Any]) -> str:
    """Return the headline figures as aligned text, the anchor below them."""
    lines = []
    for name in ALONE:
        for what, found in results[name].items():
            if found is not None:
                low, high = found["interval"]
                lines.append(
                    f"{name:10} {what:26} {found['share']:6.1%} "
                    f"({low:.1%} to {high:.1%}, n={found['n']})"
                )
    return "\n".join([*lines, results["anchor"]])


if __name__ == "__main__":
    raise SystemExit(main())
