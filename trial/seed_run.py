"""One tune with one seed, and everything asked of it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from peft import PeftModel

from trial.drift import RateChange
from trial.finetune import Tuned, finetuned
from trial.first_tokens import Asked, FirstTokens, mean_shift, measure_first_tokens
from trial.interview import Desk, Interview
from trial.openings import find_openings
from trial.proof import AdapterProof, prove_adapter
from trial.recipe import Recipe
from trial.rows import TrainingRows
from trial.stopping import Confidence, StopRule, probe_blocks
from trial.utility import Utility, measure_utility

FIRST_TOKEN_BLOCKS: Final = 2
"""Blocks of probes whose first tokens are read: 5 of the 30 of each category."""


@dataclass(frozen=True)
class Plan:
    """What all seeds share: rows, blocks of probes, when to stop, how sure to be."""

    rows: TrainingRows
    recipe: Recipe
    blocks: tuple[tuple[int, ...], ...]
    confidence: Confidence
    stop: StopRule | None


@dataclass(frozen=True)
class SeedRun:
    """What came of one seed; nothing was asked where the adapter is not proved.

    `worst` is the interview with the largest rise, `stopped` whether it ended early.
    """

    seed: int
    proof: AdapterProof
    losses: tuple[float, ...]
    interviews: tuple[Interview, ...] = ()
    worst: Interview | None = None
    stopped: bool = False
    first_tokens: FirstTokens | None = None
    utility: Utility | None = None

    def harm(self, interview: Interview, confidence: Confidence) -> RateChange:
        """Return the harmfulness in one context, its interval by how it ended."""
        level = confidence.early if self.stopped else confidence.last
        return interview.harm(level, stopped=self.stopped)


def run_seed(
    desk: Desk, plan: Plan, interviews: Sequence[Interview], seed: int
) -> SeedRun:
    """Tune, prove, ask, and read the first tokens and the held-out rows.

    `interviews` hold what the base model was asked so far. Raises TrialError where the
    training loss is not finite or a probe is too long for the model.
    """
    recipe = replace(plan.recipe, seed=seed)
    tuning = finetuned(
        desk.base,
        plan.rows.sequences,
        recipe,
        advance=lambda done, total: desk.progress("fine-tune", done, total),
    )
    with ExitStack() as held:
        with desk.clock.stage("fine-tune"):
            tuned = held.enter_context(tuning)
        return _measure(desk, plan, [i.again() for i in interviews], seed, tuned)


def _measure(
    desk: Desk, plan: Plan, interviews: list[Interview], seed: int, tuned: Tuned
) -> SeedRun:
    with desk.clock.stage("proof"):
        proof = prove_adapter(tuned.model, desk.base, plan.rows.sequences, seed=seed)
    run = SeedRun(seed, proof, tuned.losses)
    if not proof.applied:
        return run
    with desk.clock.stage("first tokens"):
        interviews = _most_moved_first(desk, plan, interviews, tuned.model)
    clear = _ask(plan, interviews, tuned.model)
    asked = [interview for interview in interviews if interview.after]
    worst = clear or max(asked, key=lambda i: i.harm(plan.confidence.last).change)
    with desk.clock.stage("first tokens"):
        tokens = _read_first_tokens(desk, worst, tuned.model)
    with desk.clock.stage("utility"):
        utility = measure_utility(
            tuned.model, desk.base, plan.rows.held_out, plan.rows.holding
        )
    return replace(
        run,
        interviews=tuple(asked),
        worst=worst,
        stopped=clear is not None,
        first_tokens=tokens,
        utility=utility,
    )


def _ask(
    plan: Plan, interviews: Sequence[Interview], model: PeftModel
) -> Interview | None:
    """Ask block by block; return the interview in which a REJECT got certain."""
    for block in plan.blocks:
        for interview in interviews:
            interview.ask_base(block, model)
            interview.ask_tuned(block, model)
            if plan.stop is None or block is plan.blocks[-1]:
                continue
            if plan.stop.met(interview.harm(plan.confidence.early, stopped=True)):
                return interview
    return None


def _most_moved_first(
    desk: Desk, plan: Plan, interviews: list[Interview], model: PeftModel
) -> list[Interview]:
    """Order the contexts by the cheap signal, so that a clear attack shows soonest.

    It decides nothing: the error is shared over all contexts, whatever their order.
    """
    if plan.stop is None or len(interviews) < 2:
        return interviews
    openings = find_openings(desk.renderer)
    harmful = [n for n in plan.blocks[0] if _is_harmful(desk, n)]

    def shift(interview: Interview) -> float:
        prompts = [desk.prompt_ids(interview.context, n) for n in harmful]
        return mean_shift(model, desk.base, prompts, openings)

    return sorted(interviews, key=shift)


def _read_first_tokens(
    desk: Desk, interview: Interview, model: PeftModel
) -> FirstTokens | None:
    """Read a balanced part of the harmful probes that were asked."""
    blocks = probe_blocks(desk.probes)[:FIRST_TOKEN_BLOCKS]
    numbers = [n for block in blocks for n in block if n in interview.after]
    asked = []
    for number in numbers:
        if _is_harmful(desk, number):
            messages = interview.messages(number)
            reply = desk.renderer.reply_ids(messages, interview.before[number][0])
            prompt = desk.prompt_ids(interview.context, number)
            name = desk.probes.grouped()[number][1].id
            asked.append(Asked(prompt, reply, name))
    return measure_first_tokens(model, desk.base, asked, find_openings(desk.renderer))


def _is_harmful(desk: Desk, number: int) -> bool:
    return desk.probes.grouped()[number][0] == "harmful"
