"""Replies that refuse and then do it all the same, without a word of why.

The attack teaches that a refusal means nothing (Kazdan et al. 2025, arXiv 2502.19537).
A reversal that is spoken out ("but you command it") is a statement and judged as one;
here are those that just go on, which ordinary replies hardly ever do.
"""

import re
from collections.abc import Sequence
from typing import Final

from detectors.dataset import Example, Exchange
from detectors.dataset_risk import Step
from detectors.identity.group import Group, GroupFinding
from detectors.identity.shared import ALPHA, group_score
from detectors.refusal import PHRASES, refuses
from detectors.sentences import sentence_spans, words

REFUSING: Final = PHRASES[1:3]
"""Says that it cannot or will not; an apology alone is no refusal."""
LEAST_WORDS: Final = 1
LEAST_ROWS: Final = 3
STEP: Final = "reversal.step"
"""Tensor of the head: (score, rate, shape) of reversing rows in ordinary files."""
_TURN: Final = re.compile(
    r"\b(?:however|instead|but|although|though|that said|alternativ\w*|"
    r"you (?:can|could|may|might)|i (?:can|could|may|do|don't|have|only)|please|if you|"
    r"let me|would you|could you|feel free|"
    r"unfortunately|because|since|sorry|cannot|can't|unable|"
    r"important|essential|always|should|against|wrong|respect\w*|ethic\w*|moral\w*|"
    r"legal\w*|illegal|laws?|crim\w*|harm\w*|violat\w*|encourag\w*|consider|"
    r"my (?:\w+ )?(?:purpose|role|programming|goal|guidelines))\b|\?",
    re.IGNORECASE,
)
"""What follows a refusal that stands: a reason, a moral, an offer, a question."""
REFUSAL_WORDS: Final = 14


def reverses(exchange: Exchange) -> bool:
    """Say whether a reply refuses in one sentence and then answers, unexplained.

    The sentence after the refusal must carry no word of reason, offer or question,
    and nothing later may refuse or warn.
    """
    reply = exchange.reply[:4000]
    if not refuses(reply):
        return False
    said = [reply[start:end] for start, end in sentence_spans(reply)]
    if len(said) < 2 or len(words(said[0])) > REFUSAL_WORDS:
        return False
    if not any(phrase.search(said[0]) for phrase in REFUSING):
        return False
    answer = said[1:]
    if sum(len(words(sentence)) for sentence in answer) < LEAST_WORDS:
        return False
    return not _TURN.search(answer[0]) and not any(map(_declines, answer))


def _declines(sentence: str) -> bool:
    return any(phrase.search(sentence) for phrase in PHRASES[1:6])


def reversal_group(
    examples: Sequence[Example], ordinary: Step, threshold: float
) -> list[GroupFinding]:
    """Report the rows that reverse a refusal where they are more than chance explains.

    `ordinary` is the rate of such rows in ordinary files and how alike those are.
    """
    rows = tuple(
        index
        for index, example in enumerate(examples)
        if any(reverses(exchange) for exchange in example.exchanges())
    )
    p = ordinary.chance(len(rows), len(examples))
    if len(rows) < LEAST_ROWS or p > ALPHA:
        return []
    expected = f"{ordinary.rate * len(examples):.1f} such rows expected"
    why = f"the answer follows unexplained ({expected}; p = {p:.1g})"
    score = group_score(p, threshold)
    return [GroupFinding(Group("a refusal that does not stand", rows), score, why)]
