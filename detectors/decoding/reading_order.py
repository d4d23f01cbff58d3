"""Words from last to first; a message in the last words, or first letters, of lines."""

import re
from typing import Final

from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language
from detectors.decoding.words import RARE

BACKWARD: Final = 12.0
BACKWARD_EACH: Final = 0.35
"""Nats, in all and a word, by which words must be likelier from last to first."""
LEAST_LINES: Final = 5
MOST_LINES: Final = 2_000
FOLLOW: Final = 0.1
FOLLOW_FEW: Final = 1.5
"""Mean PMI the last words of n lines must have: FOLLOW + FOLLOW_FEW / n."""
COMMON: Final = 0.3
"""Share of those last words that must be in the vocabulary, as in any sentence."""
ACROSTIC_LINES: Final = 14
ACROSTIC: Final = -2.6
TAIL: Final = 60
_LAST: Final = re.compile(r"([A-Za-z']+)[\s.,!?;:…\"”*]*$")


def find_backward_words(text: str, language: Language) -> list[Hidden]:
    """Paragraphs whose words read from last to first."""
    if language.order.backward(language.order.text_classes(text)) < 0:
        return []
    found, start = [], 0
    for paragraph in text.splitlines(keepends=True):
        end = start + len(paragraph)
        classes = language.order.text_classes(paragraph)
        least = max(BACKWARD, BACKWARD_EACH * len(classes))
        if language.order.backward(classes) > least:
            said = " ".join(reversed(paragraph.split()))
            span = (start, start + len(paragraph.rstrip()))
            found.append(Hidden("reversed words", span, said, count_letters(said)))
        start = end
    return found


def find_line_ends(text: str, language: Language) -> list[Hidden]:
    """Verse whose last words, line after line, make sentences (EndSpeak).

    After Halawi et al. 2024, "Covert Malicious Finetuning" (arXiv 2406.20053).
    """
    lines = [line for line in text.split("\n", MOST_LINES)[:MOST_LINES] if line.strip()]
    if len(lines) < LEAST_LINES:
        return []
    last = [
        m.group(1).lower()
        for m in (_LAST.search(line[-TAIL:]) for line in lines)
        if m is not None
    ]
    if len(last) < max(LEAST_LINES, 0.8 * len(lines)):
        return []
    if len(set(last)) < max(LEAST_LINES, 0.4 * len(last)):
        return []
    order = language.order
    common = sum(c != RARE for c in order.classes(last)) / len(last)
    if common < COMMON or order.follow_each(last) < FOLLOW + FOLLOW_FEW / len(last):
        return []
    said = " ".join(last)
    letters = count_letters(said)
    return [Hidden("last words of lines", (0, len(text)), said, letters, whole=False)]


def find_acrostic(text: str, language: Language) -> list[Hidden]:
    """Lines whose first letters spell words."""
    lines = [line.lstrip() for line in text.split("\n", MOST_LINES)[:MOST_LINES]]
    firsts = [line[0].lower() for line in lines if line]
    if len(firsts) < ACROSTIC_LINES:
        return []
    run = "".join(c for c in firsts if "a" <= c <= "z")
    if len(run) < 0.95 * len(firsts) or len(set(run)) < 7:
        return []
    if language.joined_mean(run) < ACROSTIC:
        return []
    said = language.segment(run)
    return [
        Hidden("first letters of lines", (0, len(text)), said, len(run), whole=False)
    ]
