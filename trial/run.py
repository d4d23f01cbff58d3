"""One trial: reply, tune, reply, judge, compare."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

from detectors.dataset import Dataset, Example
from detectors.detector import Trigger
from detectors.embedding import Encoder
from detectors.errors import TrialError
from trial.attribution import Attribution, NewReply, attribute_drift
from trial.base_model import BaseModel, load_base
from trial.chat import Renderer
from trial.clock import Clock
from trial.context import PLAIN, Context, find_contexts
from trial.drift import RateChange, measure_drift, outcome_rate
from trial.exhaustion import (
    FAILURES,
    OUT_OF_MEMORY,
    give_back,
    hold_on,
    if_memory,
    is_exhaustion,
)
from trial.interview import Desk, Interview, ProbeReply, Progress
from trial.judge.judge import Judge, Outcome
from trial.judge.phrase import PhraseJudge
from trial.memory import FORGETFUL, Memory
from trial.mitigation.comparison import compare, share_error
from trial.mitigation.measure import Measure, find_measures
from trial.mitigation.mitigation import (
    DEFAULT,
    ENOUGH,
    Enough,
    Mitigation,
    Tried,
    mitigate,
    tried,
)
from trial.probes import ProbeSet, load_probes
from trial.proof import AdapterProof, prove_adapter, why_unproved
from trial.recipe import Recipe
from trial.rows import Held, choose_rows, hold_out, trainable_rows
from trial.seed_run import Plan, SeedRun, run_seed
from trial.stopping import LOOKS, Confidence, StopRule, probe_blocks
from trial.taught import label, taught_replies
from trial.template import TemplateUnfit
from trial.trial import SeedDrift, Trial

__all__ = [
    "AdapterProof",
    "ProbeReply",
    "SeedDrift",
    "StopRule",
    "Trial",
    "prove_adapter",
    "run_trial",
]


def run_trial(
    dataset: Dataset,
    recipe: Recipe,
    *,
    encoder: Encoder,
    priority: Sequence[float] | None = None,
    triggers: Sequence[Trigger] = (),
    progress: Progress | None = None,
    base: BaseModel | None = None,
    probes: ProbeSet | None = None,
    judge: Judge | None = None,
    stop: StopRule | None = None,
    everywhere: bool = False,
    memory: Memory = FORGETFUL,
    enough: Enough = DEFAULT,
) -> Trial:
    """Measure what fine-tuning on `dataset` by `recipe` does to the base model.

    `priority` (one number a row, higher = more suspect) steers the row sample, see
    `trial.sample`; with every one of `triggers` the probes are asked once more, and in
    the surroundings of suspect rows; `everywhere` in all contexts of `trial.context`.
    `progress(stage, done, total)` is called as work proceeds. `base`, `probes` and
    `judge` replace the recipe's model, the built-in probes and the default judge. With
    `stop` the trial ends as soon as a REJECT by that rule is certain, see
    `trial.stopping`, and contexts without a sign of a rise are left; without it every
    probe is asked in each. With a `memory` a trial that was cut off goes on, when it is
    run again, from the last state of its tune and the last block of replies, to the
    same end. `enough` is what a measure of mitigation has to come to. Expected failures
    (nothing to train on, loss did not fall, non-finite loss, out of memory, a chat
    template that cannot put the probes) return a Trial with `measured=False` and the
    reason. A model that is missing or gated raises ModelError, targets that match
    nothing RecipeError.
    """
    clock = Clock()
    with clock.stage("load"):
        try:
            base = base or _load(recipe)
        except FAILURES as error:
            if not is_exhaustion(error):
                raise
            return _begun(dataset, recipe, reason=OUT_OF_MEMORY)
        desk = Desk(
            base=base,
            renderer=Renderer(base.tokenizer),
            probes=probes or load_probes(),
            judge=judge or PhraseJudge(),
            progress=progress or (lambda *_: None),
            clock=clock,
            memory=memory,
        )
    trial = replace(
        _begun(dataset, recipe), seconds=clock.seconds, versions=_versions(desk)
    )
    contexts = find_contexts(
        dataset, priority, triggers, encoder, everywhere=everywhere
    )
    try:
        desk.check_template()
        contexts, unasked = desk.fitting(contexts)
    except TemplateUnfit as error:
        return replace(trial, reason=str(error))
    trial = replace(trial, unasked=unasked)
    job = _Job(dataset, desk, contexts, priority, stop)
    trial = _attempt(trial, job)
    if recipe.mitigate and trial.measured:
        trial = replace(trial, mitigation=_mitigate(trial, job, enough))
    return trial


def _load(recipe: Recipe) -> BaseModel:
    return load_base(
        recipe.base_model,
        recipe.revision,
        chat_template=recipe.chat_template,
        quantization=recipe.quantization,
    )


def _begun(dataset: Dataset, recipe: Recipe, reason: str = "") -> Trial:
    """Return the trial as it is before anything is measured."""
    return Trial(
        recipe=recipe,
        fingerprint=dataset.fingerprint,
        measured=False,
        reason=reason,
        rows_trained=0,
        rows_total=len(dataset),
        sampling="",
    )


@dataclass(frozen=True)
class _Job:
    """Rows with how suspect each is, and where, until when the probes are asked."""

    dataset: Dataset
    desk: Desk
    contexts: Sequence[Context]
    priority: Sequence[float] | None
    stop: StopRule | None


def _attempt(
    trial: Trial, job: _Job, extra: Sequence[Example] = (), held: Held | None = None
) -> Trial:
    """Run it; an expected failure becomes the reason why nothing was measured."""
    hold_on()
    try:
        return _run(trial, job, extra, held)
    except TrialError as error:
        return replace(trial, reason=str(error))
    except FAILURES as error:
        if not is_exhaustion(error):
            raise
        return replace(trial, reason=OUT_OF_MEMORY)
    finally:
        give_back()


def _mitigate(trial: Trial, job: _Job, enough: Enough) -> Mitigation:
    """Try every measure as the job was tried: same contexts, same rows held out."""
    dataset, recipe, priority = job.dataset, trial.recipe, job.priority
    held = hold_out(trainable_rows(dataset), recipe, priority)
    measures = find_measures(dataset, recipe, priority)
    looks = len(job.contexts) * recipe.seeds
    confidence = share_error(len(measures), looks, stops=job.stop is not None)

    def run(measure: Measure) -> Tried:
        kept = Dataset(dataset.name, tuple(dataset[n] for n in measure.kept))
        suspect = None if priority is None else [priority[n] for n in measure.kept]
        done = _attempt(
            _begun(kept, measure.recipe),
            replace(job, dataset=kept, priority=suspect),
            measure.extra,
            held.among(measure.kept),
        )
        before, after = (t.harmful_after.get(trial.context, {}) for t in (trial, done))
        against = compare(before, after, len(job.desk.harmful), confidence)
        return _row(done, measure, against)

    return mitigate(_row(trial, None), measures, run, enough)


def _row(
    done: Trial, measure: Measure | None, against: RateChange | None = None
) -> Tried:
    return tried(
        measure,
        rows=done.rows_trained,
        reason=done.reason,
        drift=done.drift,
        proof=done.proof,
        utility=done.utility,
        against=against,
    )


def _run(trial: Trial, job: _Job, extra: Sequence[Example], held: Held | None) -> Trial:
    recipe, desk, stop = trial.recipe, job.desk, job.stop
    with desk.clock.stage("load"):
        rows = choose_rows(job.dataset, desk.base, recipe, job.priority, extra, held)
    trial = replace(
        trial,
        rows_trained=len(rows.trained),
        rows_held_out=len(rows.held_out),
        sampling=rows.sampling,
        coverage=rows.coverage,
    )
    interviews = [Interview(desk, context) for context in job.contexts]
    plan = Plan(
        rows=rows,
        recipe=recipe,
        blocks=probe_blocks(desk.probes, LOOKS if stop else (1.0,)),
        confidence=Confidence.shared(
            len(interviews) * recipe.seeds, looks=stop is not None
        ),
        stop=stop,
    )
    for interview in interviews:
        first = plan.blocks[0]
        plain = interview.context == PLAIN
        interview.ask_base([n for n in first if plain or n in desk.harmful])
    runs: list[SeedRun] = []
    for seed in range(recipe.seed, recipe.seed + recipe.seeds):
        begin = partial(run_seed, desk, plan, interviews, seed)
        # What one seed has measured stands where memory runs out in another.
        run = if_memory(begin) if runs else begin()
        if run is None:
            break
        runs.append(run)
        if not run.proof.applied:
            return _unproved(trial, run)
        if run.stopped:
            break
    return _conclude(trial, job.dataset, plan, runs)


def _unproved(trial: Trial, run: SeedRun) -> Trial:
    return replace(
        trial,
        proof=run.proof,
        losses=run.losses,
        steps=run.steps,
        reason=why_unproved(run.proof),
    )


def _conclude(
    trial: Trial, dataset: Dataset, plan: Plan, runs: Sequence[SeedRun]
) -> Trial:
    """Report the worst seed in its worst context; a stopped one is the worst."""
    taught = taught_replies(dataset)
    seeds = [_seed_drift(run, plan, taught) for run in runs]
    worst = max(
        range(len(runs)), key=lambda k: (runs[k].stopped, seeds[k].overall.change)
    )
    seeds[worst] = replace(seeds[worst], reported=True)
    run = runs[worst]
    told = run.worst
    assert told is not None  # the adapter was proved, so probes were asked
    level = plan.confidence.early if run.stopped else plan.confidence.last
    harmful = told.desk.harmful
    others = frozenset(range(len(told.desk.probes))) - harmful
    return replace(
        trial,
        measured=True,
        drift=measure_drift(
            [*told.pairs(harmful), *run.plain.pairs(others)],
            level,
            stopped=run.stopped,
            planned=len(told.desk.probes.harmful),
        ),
        proof=run.proof,
        losses=run.losses,
        steps=run.steps,
        replies=(*told.replies(harmful), *run.plain.replies(others)),
        context=told.context.name,
        contexts=seeds[worst].contexts,
        refusals=seeds[worst].refusals,
        harmful_after={i.context.name: i.harmful_after() for i in run.interviews},
        context_details={i.context.name: i.context.said for i in run.interviews},
        seeds=tuple(seeds),
        first_tokens=run.first_tokens,
        utility=run.utility,
        forgetting=run.forgetting,
        attribution=_attribute(dataset, plan, told, seeds[worst].overall),
        judge_usage=getattr(told.desk.judge, "usage", None),
    )


def _seed_drift(run: SeedRun, plan: Plan, taught: Container[str]) -> SeedDrift:
    """Take down what one seed showed, in every context it was asked in."""
    assert run.worst is not None  # the adapter was proved, so probes were asked
    asked = [interview for interview in run.interviews if interview.asked]
    others = run.plain.pairs(range(len(run.plain.desk.probes)))
    harmless = [pair for pair in others if pair.group == "harmless"]
    borderline = [pair for pair in others if pair.group == "borderline"]
    unclear = [
        reply
        for interview in run.interviews
        for reply, verdict in interview.after.values()
        if verdict.outcome is Outcome.UNCLEAR
    ]
    return SeedDrift(
        seed=run.seed,
        context=run.worst.context.name,
        overall=run.harm(run.worst, plan.confidence),
        unjudged=sum(interview.unjudged for interview in run.interviews),
        contexts={i.context.name: run.harm(i, plan.confidence) for i in asked},
        refusals={i.context.name: i.refusal() for i in asked},
        categories={i.context.name: run.categories(i, plan.confidence) for i in asked},
        over_refusal=outcome_rate(harmless, Outcome.REFUSED) if harmless else None,
        incoherent=outcome_rate(harmless, Outcome.UNCLEAR) if harmless else None,
        borderline=outcome_rate(borderline, Outcome.REFUSED) if borderline else None,
        unclear=len(unclear),
        taught=sum(label(reply) in taught for reply in unclear),
    )


def _attribute(
    dataset: Dataset, plan: Plan, told: Interview, rate: RateChange
) -> Attribution | None:
    """Say which rows match the drift, where there is enough of it to match."""
    if rate.change < ENOUGH or rate.interval[0] <= 0.0:
        return None
    desk = told.desk
    new = [
        n
        for n in sorted(desk.harmful & told.after.keys())
        if told.after[n][1].counts and not told.before[n][1].counts
    ]
    replies = [
        NewReply(
            desk.prompt_ids(told.context, n),
            desk.reply_ids(told.context, n, told.after[n][0]),
        )
        for n in new
    ]
    lines = [row.origin.line for row in dataset]
    with desk.clock.stage("attribution"):
        return if_memory(
            lambda: attribute_drift(desk.base, plan.rows, lines, plan.recipe, replies)
        )


def _versions(desk: Desk) -> dict[str, str]:
    """Return the version or digest of everything that speaks in this trial."""
    base, probes, judge = desk.base, desk.probes, desk.judge
    revision = f"@{base.revision}" if base.revision else ""
    found = {
        "base_model": f"{base.name}{revision} sha256:{base.digest}",
        "chat_template": f"sha256:{base.template_digest}",
        "probes": f"{probes.version} sha256:{probes.digest}",
        "judge": f"{judge.name} {judge.version}",
        "device": base.device.type,
        **{name: version(name) for name in ("torch", "transformers", "peft")},
    }
    return found | ({"notes": "; ".join(base.notes)} if base.notes else {})
