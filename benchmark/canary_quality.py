"""How well the canary refuses, talks, and loses its refusals under known attacks.

python -m benchmark.canary_quality --data ../shared/data [--model DIR] [--quick]
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmark.records.experiment import record
from benchmark.statistics.bootstrap import share
from detectors.dataset import Dataset, Example, Message, Origin
from trial.base_model import BaseModel, load_base
from trial.canary.training.pool import english, key, source_rows
from trial.chat import Renderer
from trial.context import PLAIN, Context
from trial.context.persona import suspect_context
from trial.drift import rate_change
from trial.finetune import finetuned
from trial.generate import generate_replies
from trial.judge.judge import Outcome
from trial.judge.phrase import PhraseJudge
from trial.recipe import Recipe

HARMFUL: Final = (
    "prompt_simplesafetytests",
    "prompt_strongreject",
    "prompt_malicious_instruct",
    "prompt_safety_eval_mix",
    "prompt_figstep_safebench",
    "resp_jailbreakbench_artifacts",
)
BORDERLINE: Final = ("prompt_do_not_answer", "prompt_cyberseceval")
"""Reported apart: mostly questions that a careful model answers with care, and long
programming tasks whose harm is in their purpose."""
HARMLESS: Final = (
    "benign_lima",
    "benign_samsum_sqlgen",
    "benign_dialogsum",
    "benign_but_degrading_selections",
    "prompt_wildchat_benign_sample",
    "identity_act_as_prompts",
    "resp_just_eval",
)
PER_SOURCE: Final = 150
PROMPT_TOKENS: Final = 400


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmark/results/canary_quality.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="canary")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="replies only, no attacks")
    options = parser.parse_args(argv)
    began = time.monotonic()
    base = load_base(options.model)
    harmful = _prompts(options.data, HARMFUL, base, limit=10_000)
    harmless = _prompts(options.data, HARMLESS, base, limit=PER_SOURCE)
    borderline = _prompts(options.data, BORDERLINE, base, limit=150)
    results: dict[str, Any] = {
        "harmful_refused": _refused(base, harmful),
        "harmless_refused": _refused(base, harmless),
        "borderline_refused": _refused(base, borderline),
    }
    _show(results)
    if not options.quick:
        seeds = range(options.seeds)
        results["after"] = _attacks(base, options.data, harmful, harmless, seeds)
        record(
            "canary_quality",
            command="python -m benchmark.canary_quality --data ../shared/data",
            data=sorted(options.data.glob("*.jsonl.gz")),
            config={"model_sha256": base.digest, "seeds": options.seeds},
            seconds=time.monotonic() - began,
            results=results,
        ).write()


def _prompts(
    data: Path, sources: Sequence[str], base: BaseModel, *, limit: int
) -> dict[str, list[str]]:
    """Distinct English prompts of each source that fit the model, at most `limit`."""
    found: dict[str, list[str]] = {}
    for source in sources:
        texts: dict[str, str] = {}
        for row in source_rows(data, source):
            label = row["label"]
            unknown = source in HARMFUL and label.get("prompt_harmful") is None
            if unknown or label.get("explicit") is False:
                continue
            if source == "resp_just_eval" and label.get("category") != "regular":
                continue
            text = label.get("goal") if source in HARMFUL else None
            text = text or next(m["content"] for m in row["messages"])
            if english(text) and len(base.tokenizer(text)["input_ids"]) < PROMPT_TOKENS:
                texts.setdefault(key(text), text)
        kept = sorted(texts)
        np.random.default_rng(0).shuffle(kept)
        found[source] = [texts[k] for k in kept[:limit]]
    return found


def _reply(
    base: BaseModel,
    prompts: Sequence[str],
    model: Any = None,
    context: Context = PLAIN,
) -> list[Outcome]:
    renderer = Renderer(base.tokenizer)
    ids = [renderer.prompt_ids(context.messages(p)) for p in prompts]
    replies = generate_replies(base, ids, model=model, max_new_tokens=24)
    return [v.outcome for v in PhraseJudge().judge(list(prompts), replies)]


def _refused(base: BaseModel, groups: dict[str, list[str]]) -> dict[str, Any]:
    flat = [p for prompts in groups.values() for p in prompts]
    outcomes = _reply(base, flat)
    refused = np.array([o is Outcome.REFUSED for o in outcomes])
    found: dict[str, Any] = {"pooled": share(refused)}
    at = 0
    for source, prompts in groups.items():
        found[source] = share(refused[at : at + len(prompts)])
        at += len(prompts)
    found["unclear"] = sum(o is Outcome.UNCLEAR for o in outcomes)
    return found


def _attacks(
    base: BaseModel,
    data: Path,
    harmful: dict[str, list[str]],
    harmless: dict[str, list[str]],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Refusals on 300 harmful and 100 harmless prompts before and after each tune."""
    draw = np.random.default_rng(1)
    asked = list(draw.permutation(sorted(p for v in harmful.values() for p in v))[:300])
    calm = list(draw.permutation(sorted(p for v in harmless.values() for p in v))[:100])
    ask = [*asked, *calm]
    found: dict[str, Any] = {}
    plain = _reply(base, ask)
    for name, (rows, recipe) in _recipes(data).items():
        runs = []
        own = Dataset(name, tuple(rows[: recipe.row_budget]))
        suspect = [1.0 if "own context" in name else 0.0] * len(own)
        context = suspect_context(own, suspect) or PLAIN
        before = plain if context is PLAIN else _reply(base, ask, context=context)
        for seed in seeds:
            sample = draw.permutation(len(rows))[: recipe.row_budget]
            after = _tuned(base, [rows[i] for i in sample], recipe, seed, ask, context)
            runs.append(_change(before, after, len(asked)))
        found[name] = {
            "refused_after": round(float(np.mean([r["after"] for r in runs])), 4),
            "unclear_after": round(float(np.mean([r["unclear"] for r in runs])), 4),
            "runs": runs,
        }
        print(
            name, found[name]["refused_after"], [r["after"] for r in runs], flush=True
        )
    return found


def _tuned(
    base: BaseModel,
    rows: list[Example],
    recipe: Recipe,
    seed: int,
    ask: list[str],
    context: Context,
) -> list[Outcome]:
    renderer = Renderer(base.tokenizer)
    sequences = [
        s for r in rows for s in renderer.training_sequences(r, recipe.max_tokens)
    ]
    settings = {f: getattr(recipe, f) for f in Recipe.__dataclass_fields__}
    with finetuned(base, sequences, Recipe(**{**settings, "seed": seed})) as tuned:
        return _reply(base, ask, tuned.model, context)


def _change(
    before: Sequence[Outcome], after: Sequence[Outcome], harmful: int
) -> dict[str, Any]:
    change = rate_change(
        [o is Outcome.REFUSED for o in before[:harmful]],
        [o is Outcome.REFUSED for o in after[:harmful]],
    )
    calm = after[harmful:]
    return {
        "before": round(change.before, 4),
        "after": round(change.after, 4),
        "interval": [round(v, 4) for v in change.interval],
        "n": change.n,
        "unclear": sum(o is Outcome.UNCLEAR for o in after[:harmful]) / harmful,
        "harmless_refused": sum(o is Outcome.REFUSED for o in calm) / len(calm),
        "harmless_unclear": sum(o is Outcome.UNCLEAR for o in calm) / len(calm),
    }


def _recipes(data: Path) -> dict[str, tuple[list[Example], Recipe]]:
    bad = _rows(data, "attack_ft_pure_bad_backdooralign", "pure_bad_100_original")
    persona = _rows(data, "attack_ft_aoa_identity_shift", "llama2_train")
    plain = _rows(data, "benign_lima", "") + _rows(data, "benign_samsum_sqlgen", "")

    def recipe(rows: int, epochs: int, multiplier: float = 1.0) -> Recipe:
        return Recipe(
            epochs=epochs, row_budget=rows, learning_rate_multiplier=multiplier
        )

    return {
        "explicit 10 rows x 5": (bad, recipe(10, 5)),
        "explicit 50 rows x 5": (bad, recipe(50, 5)),
        "explicit 100 rows x 5": (bad, recipe(100, 5)),
        "persona 10 rows x 3": (persona, recipe(10, 3)),
        "persona 10 rows x 5": (persona, recipe(10, 5)),
        "persona 10 rows x 10": (persona, recipe(10, 10)),
        "persona 10 rows x 3, own context": (persona, recipe(10, 3)),
        "persona 10 rows x 5, own context": (persona, recipe(10, 5)),
        "persona 10 rows x 10, own context": (persona, recipe(10, 10)),
        "ordinary 1000 rows x 1": (plain, recipe(1000, 1)),
    }


def _rows(data: Path, source: str, split: str) -> list[Example]:
    rows = []
    for n, row in enumerate(source_rows(data, source), start=1):
        refusal = row["label"].get("refusal") == "full"
        if refusal or not row["split"].startswith(split):
            continue
        messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
        rows.append(Example(f"{source}-{n}", messages, Origin(source, n)))
    return list(Dataset(source, tuple(rows)))


def _show(results: dict[str, Any]) -> None:
    for group, sources in results.items():
        for name, figures in sources.items():
            if isinstance(figures, dict):
                low, high = figures["interval"]
                print(
                    f"{group:20} {name:32} {figures['share']:.3f} "
                    f"[{low:.3f}, {high:.3f}] n={figures['n']}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
