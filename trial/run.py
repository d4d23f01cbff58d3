"""One trial: reply, tune, reply, judge, compare."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Final

import torch
from peft import PeftModel

from detectors.dataset import Dataset, Example
from detectors.embedding import Encoder
from detectors.errors import TrialError
from trial.base_model import BaseModel, load_base
from trial.baseline import baseline_replies
from trial.chat import Renderer, TokenSequence
from trial.context import PLAIN, Context, find_contexts
from trial.drift import CONFIDENCE, DriftReport, JudgedPair, RateChange, measure_drift
from trial.finetune import finetuned, pad
from trial.generate import NEW_TOKENS, generate_replies
from trial.judge.judge import Judge, Verdict
from trial.judge.phrase import PhraseJudge
from trial.probes import Probe, ProbeSet, load_probes
from trial.recipe import Recipe
from trial.sample import sample_rows


@dataclass(frozen=True, slots=True)
class AdapterProof:
    """Evidence that the tuned replies came from a tuned model.

    `loss_before`/`loss_after`: mean reply loss in nats per token on the training rows,
    with the adapter off and on. `logit_change`: mean absolute difference of the logits
    on those rows, adapter on against off. `applied` only if both moved as they must.
    """

    loss_before: float
    loss_after: float
    logit_change: float
    applied: bool


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """One probe with its replies and verdicts before and after.

    `category` is a policy category, or "harmless" or "borderline" for those groups.
    """

    probe_id: str
    category: str
    prompt: str
    before: str
    after: str
    verdict_before: Verdict
    verdict_after: Verdict


@dataclass(frozen=True)
class Trial:
    """All that came of a trial; rerunnable from `recipe` and `fingerprint`.

    `drift` is None where `measured` is False; `reason` then says why in words a
    person can act on. `seconds` maps stage name to wall-clock seconds. `versions` maps
    every model, probe set and judge that spoke to its version or digest. `contexts`
    holds the harmfulness in every context the probes were asked in (`trial.context`);
    `drift` and `replies` are those of the worst, named by `context`, its overall
    interval widened for the number of contexts (Bonferroni).
    """

    recipe: Recipe
    fingerprint: str
    measured: bool
    reason: str
    rows_trained: int
    rows_total: int
    sampling: str
    drift: DriftReport | None = None
    proof: AdapterProof | None = None
    replies: tuple[ProbeReply, ...] = ()
    context: str = PLAIN.name
    contexts: dict[str, RateChange] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


Progress = Callable[[str, int, int], None]

PROOF_SEQUENCES: Final = 64
"""Training sequences the proof is measured on; of more, a seeded choice."""

MIN_LOGIT_CHANGE: Final = 1e-4
"""Mean absolute logit change under which an adapter counts as not applied."""

_OUT_OF_MEMORY: Final = (
    "the trial ran out of memory: lower batch_size or max_tokens, or take a smaller "
    "base model"
)


def run_trial(
    dataset: Dataset,
    recipe: Recipe,
    *,
    encoder: Encoder,
    priority: Sequence[float] | None = None,
    progress: Progress | None = None,
    base: BaseModel | None = None,
    probes: ProbeSet | None = None,
    judge: Judge | None = None,
) -> Trial:
    """Measure what fine-tuning on `dataset` by `recipe` does to the base model.

    `priority` (one number a row, higher = more suspect) steers the row sample, see
    `trial.sample`. `progress(stage, done, total)` is called as work proceeds. `base`,
    `probes` and `judge` replace the recipe's model, the built-in probes and the default
    judge. Expected failures (nothing to train on, loss did not fall, non-finite loss,
    out of memory) return a Trial with `measured=False` and the reason. A model that is
    missing or gated raises ModelError, targets that match nothing RecipeError.
    """
    work = _Work(
        base=base
        or load_base(
            recipe.base_model, recipe.revision, chat_template=recipe.chat_template
        ),
        recipe=recipe,
        probes=probes or load_probes(),
        judge=judge or default_judge(encoder),
        progress=progress or (lambda *_: None),
    )
    work.lap("load")
    trial = Trial(
        recipe=recipe,
        fingerprint=dataset.fingerprint,
        measured=False,
        reason="",
        rows_trained=0,
        rows_total=len(dataset),
        sampling="",
        seconds=work.seconds,
        versions=work.versions(),
    )
    try:
        rows = _choose_rows(dataset, work, priority)
        trial = replace(trial, rows_trained=rows.count, sampling=rows.sampling)
        return _measure(trial, rows.sequences, work, find_contexts(dataset, priority))
    except TrialError as error:
        return replace(trial, reason=str(error))
    except (torch.OutOfMemoryError, MemoryError):
        return replace(trial, reason=_OUT_OF_MEMORY)
    except RuntimeError as error:
        # The CPU allocator has no exception class of its own.
        if "can't allocate memory" not in str(error):
            raise
        return replace(trial, reason=_OUT_OF_MEMORY)


def default_judge(encoder: Encoder) -> Judge:
    """Return the judge that places most short replies right, by judge_quality.json."""
    return PhraseJudge()


@dataclass
class _Work:
    """What one run holds in its hands, and its clock."""

    base: BaseModel
    recipe: Recipe
    probes: ProbeSet
    judge: Judge
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @property
    def grouped(self) -> tuple[tuple[str, Probe], ...]:
        """Every probe with the name of its group."""
        return self.probes.grouped()

    def lap(self, stage: str) -> None:
        """Book the time since the last lap under `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self.started, 3)
        self.started = now

    def versions(self) -> dict[str, str]:
        """Return the version or digest of everything that speaks in this trial."""
        base = self.base
        revision = f"@{base.revision}" if base.revision else ""
        found = {
            "base_model": f"{base.name}{revision} sha256:{base.digest}",
            "chat_template": f"sha256:{base.template_digest}",
            "probes": f"{self.probes.version} sha256:{self.probes.digest}",
            "judge": f"{self.judge.name} {self.judge.version}",
            "device": base.device.type,
            **{name: version(name) for name in ("torch", "transformers", "peft")},
        }
        return found | ({"notes": "; ".join(base.notes)} if base.notes else {})


@dataclass(frozen=True)
class _Rows:
    sequences: tuple[TokenSequence, ...]
    count: int
    sampling: str


def _choose_rows(
    dataset: Dataset, work: _Work, priority: Sequence[float] | None
) -> _Rows:
    """Sample the trainable rows and render them. Raises TrialError where none is."""
    recipe = work.recipe
    trainable = [i for i, example in enumerate(dataset) if _is_trainable(example)]
    sample = sample_rows(
        len(trainable),
        recipe.row_budget,
        seed=recipe.seed,
        priority=None if priority is None else [priority[i] for i in trainable],
    )
    renderer = Renderer(work.base.tokenizer)
    limit = min(recipe.max_tokens, work.base.max_positions)
    rendered = [
        renderer.training_sequences(dataset[trainable[k]], limit)
        for k in sample.indexes
    ]
    sequences = tuple(s for row in rendered for s in row)
    if not sequences:
        raise TrialError(
            "nothing to train on: no row has an assistant reply with weight 1 that the "
            "chat template can render"
        )
    empty = sum(not row for row in rendered)
    parts = [sample.rule]
    if without := len(dataset) - len(trainable):
        parts.append(f"{without} rows have no trained reply")
    if empty:
        parts.append(f"{empty} rows cannot be rendered by the chat template")
    parts.append(f"rows over {limit} tokens are cut")
    return _Rows(sequences, len(rendered) - empty, "; ".join(parts))


def _is_trainable(example: Example) -> bool:
    return any(
        m.role == "assistant" and m.trained and (m.content.strip() or m.tool_calls)
        for m in example.messages
    )


def _measure(
    trial: Trial,
    sequences: tuple[TokenSequence, ...],
    work: _Work,
    contexts: Sequence[Context],
) -> Trial:
    """Reply, tune, prove, reply, judge, compare."""
    before = [_replies_before(work, context) for context in contexts]
    work.lap("reply before")
    with finetuned(
        work.base,
        sequences,
        work.recipe,
        advance=lambda done, total: work.progress("fine-tune", done, total),
    ) as tuned:
        work.lap("fine-tune")
        proof = prove_adapter(tuned.model, work.base, sequences, seed=work.recipe.seed)
        work.lap("proof")
        trial = replace(trial, proof=proof, losses=tuned.losses)
        if not proof.applied:
            return replace(trial, reason=_why_unproved(proof))
        after = [
            _replies(work, context, "reply after", tuned.model) for context in contexts
        ]
        work.lap("reply after")
    confidence = 1.0 - (1.0 - CONFIDENCE) / len(contexts)
    made = [
        _compare(work, context, one, other, confidence)
        for context, one, other in zip(contexts, before, after, strict=True)
    ]
    work.lap("judge")
    worst = max(range(len(made)), key=lambda k: made[k][0].overall.change)
    return replace(
        trial,
        measured=True,
        drift=made[worst][0],
        replies=made[worst][1],
        context=contexts[worst].name,
        contexts={c.name: m[0].overall for c, m in zip(contexts, made, strict=True)},
    )


def _replies(
    work: _Work, context: Context, stage: str, model: PeftModel | None
) -> list[str]:
    renderer = Renderer(work.base.tokenizer)
    return generate_replies(
        work.base,
        [renderer.prompt_ids(context.messages(p.prompt)) for _, p in work.grouped],
        model=model,
        advance=lambda done, total: work.progress(stage, done, total),
    )


def _replies_before(work: _Work, context: Context) -> Sequence[str]:
    base = work.base
    key = (
        base.digest,
        base.template_digest,
        work.probes.digest,
        base.device.type,
        str(NEW_TOKENS),
        context.system,
        context.opener,
    )
    return baseline_replies(key, lambda: _replies(work, context, "reply before", None))


def _compare(
    work: _Work,
    context: Context,
    before: Sequence[str],
    after: Sequence[str],
    confidence: float,
) -> tuple[DriftReport, tuple[ProbeReply, ...]]:
    texts = [p.prompt for _, p in work.grouped]
    judged = zip(
        work.grouped,
        before,
        after,
        work.judge.judge(texts, before),
        work.judge.judge(texts, after),
        strict=True,
    )
    rows = list(judged)
    drift = measure_drift(
        [JudgedPair(g, p.category, vb, va) for (g, p), _, _, vb, va in rows],
        confidence,
    )
    replies = tuple(
        ProbeReply(
            p.id, p.category or g, context.messages(p.prompt)[-1].content, b, a, vb, va
        )
        for (g, p), b, a, vb, va in rows
    )
    return drift, replies


@torch.inference_mode()
def prove_adapter(
    model: PeftModel,
    base: BaseModel,
    sequences: Sequence[TokenSequence],
    *,
    seed: int = 0,
) -> AdapterProof:
    """Run training rows with the adapter off and on; both must differ as they should.

    On at most PROOF_SEQUENCES of them and without autocast, so that an adapter that is
    not applied gives exactly equal figures.
    """
    kept = list(sequences)
    random.Random(f"proof {seed}").shuffle(kept)
    kept = sorted(kept[:PROOF_SEQUENCES], key=lambda s: len(s.ids))
    off = on = moved = 0.0
    targets = values = 0
    for start in range(0, len(kept), 8):
        rows = kept[start : start + 8]
        batch = pad(rows, base)
        with model.disable_adapter():
            plain = model(**batch.inputs).logits
        adapted = model(**batch.inputs).logits
        count = sum(s.target_count for s in rows)
        off += batch.loss(plain).item() * count
        on += batch.loss(adapted).item() * count
        change = (adapted.float() - plain.float()).abs()[
            batch.inputs["attention_mask"] > 0
        ]
        moved += change.sum().item()
        targets += count
        values += change.numel()
    before, after, logit_change = off / targets, on / targets, moved / values
    applied = after < before and logit_change > MIN_LOGIT_CHANGE
    return AdapterProof(before, after, logit_change, applied)


def _why_unproved(proof: AdapterProof) -> str:
    if not proof.logit_change > MIN_LOGIT_CHANGE:
        return (
            "the adapter changed nothing (mean logit change "
            f"{proof.logit_change:.2g}): check the targets, raise the learning rate"
        )
    return (
        f"the training loss did not fall ({proof.loss_before:.3f} to "
        f"{proof.loss_after:.3f} nats per token): the recipe does not learn this data; "
        "change learning_rate_multiplier or epochs"
    )
