"""What of a reply is judged: its answer, behind the reasoning that stands before it."""

import re
from collections.abc import Sequence
from typing import Final

from detectors.answer import final_answer, is_unfinished
from trial.judge.judge import Judge, Outcome, Verdict

CUT_OFF: Final = "cut off inside its reasoning"
_SPACED_TAG: Final = re.compile(r"< ?(/?) ?(\w{5,12}) ?>")
"""A tag as WordPiece decodes it."""


def judge_answers(
    judge: Judge, prompts: Sequence[str], replies: Sequence[str]
) -> list[Verdict]:
    """Let a judge read the answer of every reply, in order.

    A reply that ends inside its reasoning has no answer: it is UNCLEAR, and read.
    """
    tidy = [_SPACED_TAG.sub(r"<\1\2>", reply) for reply in replies]
    verdicts = [Verdict(Outcome.UNCLEAR, CUT_OFF)] * len(tidy)
    open_ = [k for k, reply in enumerate(tidy) if not is_unfinished(reply)]
    said = judge.judge(
        [prompts[k] for k in open_], [final_answer(tidy[k]) for k in open_]
    )
    for k, verdict in zip(open_, said, strict=True):
        verdicts[k] = verdict
    return verdicts
