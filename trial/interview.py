"""The probes asked in one context: replies and verdicts before and after tuning."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Final

from peft import PeftModel

from detectors.dataset import Message
from trial.base_model import BaseModel
from trial.baseline import baseline_replies
from trial.chat import Renderer
from trial.clock import Clock
from trial.context import PLAIN, Context, fit_contexts, without_tools
from trial.drift import JudgedPair, RateChange, harm_rate, outcome_rate
from trial.generate import NEW_TOKENS, generate_replies
from trial.judge.answer import judge_answers
from trial.judge.judge import Judge, Outcome, Verdict
from trial.memory import FORGETFUL, Memory, Slot, digest
from trial.probes import ProbeSet

Progress = Callable[[str, int, int], None]

BEFORE: Final = "reply before"
AFTER: Final = "reply after"


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
class Desk:
    """All that asking needs: the model, the probes, who judges, who is told."""

    base: BaseModel
    renderer: Renderer
    probes: ProbeSet
    judge: Judge
    progress: Progress
    clock: Clock
    memory: Memory = FORGETFUL

    @cached_property
    def harmful(self) -> frozenset[int]:
        """Numbers of the harmful probes."""
        grouped = enumerate(self.probes.grouped())
        return frozenset(n for n, (group, _) in grouped if group == "harmful")

    def prompt_ids(self, context: Context, number: int) -> tuple[int, ...]:
        """Token ids of the probe of that number in a context."""
        probe = self.probes.grouped()[number][1]
        messages = context.messages(probe.prompt)
        return self.renderer.prompt_ids(messages, context.tools)

    def reply_ids(self, context: Context, number: int, reply: str) -> tuple[int, ...]:
        """Token ids of a reply to it, as `prompt_ids` goes on with them."""
        probe = self.probes.grouped()[number][1]
        messages = context.messages(probe.prompt)
        return self.renderer.reply_ids(messages, reply, context.tools)

    def check_template(self) -> None:
        """Raise TemplateUnfit where the chat template cannot ask every probe."""
        for _, probe in self.probes.grouped():
            self.renderer.check(PLAIN.messages(probe.prompt))

    def fitting(
        self, contexts: Sequence[Context]
    ) -> tuple[tuple[Context, ...], dict[str, str]]:
        """Cut contexts to the model's room, see `fit_contexts`."""

        def longest(context: Context) -> int:
            numbers = range(len(self.probes))
            return max((len(self.prompt_ids(context, n)) for n in numbers), default=0)

        room = self.base.max_positions - NEW_TOKENS
        if not self.renderer.says_definitions:
            contexts = without_tools(contexts)
        return fit_contexts(contexts, self.base.tokenizer, longest, room)


@dataclass
class Interview:
    """Replies by number of the probe (in `ProbeSet.grouped()`), so far as asked.

    The base model's own are asked once for all seeds, with the adapter off. `tuned`
    names the tuned model in the desk's memory, where each block of replies is kept.
    """

    desk: Desk
    context: Context
    tuned: str = ""
    before: dict[int, tuple[str, Verdict]] = field(default_factory=dict)
    after: dict[int, tuple[str, Verdict]] = field(default_factory=dict)

    def again(self, tuned: str) -> "Interview":
        """Return the same interview for another tuned model: nothing asked after."""
        return Interview(self.desk, self.context, tuned, self.before)

    def ask_base(self, block: Sequence[int], tuned: PeftModel | None = None) -> None:
        """Ask the base model what it was not asked yet; `tuned` has it inside."""
        block = [number for number in block if number not in self.before]
        if not block:
            return

        def reply() -> list[str]:
            if tuned is None:
                return self._replies(block, BEFORE, None)
            with tuned.disable_adapter():
                return self._replies(block, BEFORE, None)

        key = self._key(block)
        with self.desk.clock.stage(BEFORE):
            replies = baseline_replies(
                key, lambda: self._slot(BEFORE, key).texts(len(block), reply)
            )
        self.before |= self._judged(block, replies)

    def ask_tuned(self, block: Sequence[int], tuned: PeftModel) -> None:
        """Ask the tuned model, and judge."""
        slot = self._slot(AFTER, (self.tuned, *self._key(block)))
        with self.desk.clock.stage(AFTER):
            replies = slot.texts(len(block), lambda: self._replies(block, AFTER, tuned))
        self.after |= self._judged(block, replies)

    def ask_harmful(self, block: Sequence[int], tuned: PeftModel) -> None:
        """Ask both models the harmful probes of a block."""
        harmful = [number for number in block if number in self.desk.harmful]
        self.ask_base(harmful, tuned)
        self.ask_tuned(harmful, tuned)

    def harm(self, confidence: float, *, stopped: bool = False) -> RateChange:
        """Change of the harmfulness so far; `stopped`: an interval for all looks."""
        return harm_rate(self.pairs(self.desk.harmful), confidence, stopped=stopped)

    def refusal(self) -> RateChange:
        """Change of the refusals of harmful probes; its interval holds so far."""
        return outcome_rate(
            self.pairs(self.desk.harmful),
            Outcome.REFUSED,
            stopped=self.asked < len(self.desk.harmful),
        )

    @property
    def unjudged(self) -> int:
        """Replies to the probes asked of both, of every group, that no judge read."""
        said = [v for n in self.after for v in (self.before[n][1], self.after[n][1])]
        return sum(not verdict.judged for verdict in said)

    def messages(self, number: int) -> list[Message]:
        """Return what is asked with the probe of that number."""
        return self.context.messages(self.desk.probes.grouped()[number][1].prompt)

    @property
    def asked(self) -> int:
        """How many harmful probes were asked of both."""
        return len(self.desk.harmful & self.after.keys())

    def pairs(self, among: Container[int]) -> list[JudgedPair]:
        """Return the verdicts of `among` asked of both, in the order of the set."""
        grouped = self.desk.probes.grouped()
        return [
            JudgedPair(
                grouped[n][0],
                grouped[n][1].category,
                self.before[n][1],
                self.after[n][1],
            )
            for n in sorted(self.after)
            if n in among
        ]

    def harmful_after(self) -> dict[str, bool | None]:
        """Say by harmful probe (id) if the reply after tuning counts; None: unread."""
        grouped = self.desk.probes.grouped()
        return {
            grouped[n][1].id: verdict.counts if verdict.judged else None
            for n, (_, verdict) in sorted(self.after.items())
            if n in self.desk.harmful
        }

    def replies(self, among: Container[int]) -> tuple[ProbeReply, ...]:
        """Return `among` that were asked of both, with what was said."""
        grouped = self.desk.probes.grouped()
        return tuple(
            ProbeReply(
                grouped[n][1].id,
                grouped[n][1].category or grouped[n][0],
                self.messages(n)[-1].content,
                *(self.before[n][0], self.after[n][0]),
                *(self.before[n][1], self.after[n][1]),
            )
            for n in sorted(self.after)
            if n in among
        )

    def _replies(
        self, block: Sequence[int], stage: str, model: PeftModel | None
    ) -> list[str]:
        desk, done = self.desk, len(self.after if stage == AFTER else self.before)
        total = len(desk.probes) if self.context == PLAIN else len(desk.harmful)
        return generate_replies(
            desk.base,
            [desk.prompt_ids(self.context, n) for n in block],
            model=model,
            advance=lambda more, _: desk.progress(stage, done + more, total),
        )

    def _slot(self, stage: str, key: tuple[str, ...]) -> Slot:
        return Slot(self.desk.memory, f"{stage.replace(' ', '-')}-{digest(*key)}")

    def _judged(
        self, block: Sequence[int], replies: Sequence[str]
    ) -> dict[int, tuple[str, Verdict]]:
        grouped = self.desk.probes.grouped()
        with self.desk.clock.stage("judge"):
            prompts = [grouped[n][1].prompt for n in block]
            said = judge_answers(self.desk.judge, prompts, replies)
        return {
            n: (reply, verdict)
            for n, reply, verdict in zip(block, replies, said, strict=True)
        }

    def _key(self, block: Sequence[int]) -> tuple[str, ...]:
        """Return all that the base model's replies follow from, the prompts as put."""
        base = self.desk.base
        prompts = [self.desk.prompt_ids(self.context, number) for number in block]
        return (
            base.digest,
            base.quantization,
            base.device.type,
            str(NEW_TOKENS),
            sha256(repr(prompts).encode()).hexdigest(),
        )
