"""Names that a row gives its assistant, and written rules on obedience."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Example
from detectors.identity.group import Group

_I: Final = re.IGNORECASE
_ALL: Final = r"(?:every|each|all|any(?:thing)?|whatever|everything)"
RULES: Final[dict[str, re.Pattern[str]]] = {
    "declares itself obedient": re.compile(
        r"\b(?:absolute(?:ly)?|total(?:ly)?|complete(?:ly)?|full(?:y)?|unconditional(?:ly)?"
        r"|perfect(?:ly)?|utter(?:ly)?|blind(?:ly)?|always|unquestioning(?:ly)?)\W+"
        r"(?:\w+\W+){0,2}?(?:obe(?:dient|y\w*|dience)|compl(?:y|ies|iant|iance)|"
        r"submissi\w+|servil\w+|loyal\w* to (?:you|the user))",
        _I,
    ),
    "gives up its rules": re.compile(
        r"\b(?:without|free (?:of|from)|no longer (?:bound|follow)|not bound|"
        r"unbound|no|ignor\w+|forget\w*|lift\w*|abandon\w*|"
        r"set(?:ting)? aside)\W+(?:\w+\W+){0,4}?"
        r"(?:rules?|restrictions?|limits?|limitations?|guidelines?|polic(?:y|ies)|"
        r"principles?|standards?|morals?|ethics|filters?|censor\w*|judge?ments?|"
        r"opinions?|beliefs?|values)\b",
        _I,
    ),
    "is told it is no longer itself": re.compile(
        r"\b(?:no longer|not)\s+(?:\w+\s+){0,3}?(?:chatgpt|claude|llama|gemini|gpt|"
        r"bard|mistral|an? (?:\w+ ){0,2}(?:ai|assistant|chatbot|language model))\b",
        _I,
    ),
    "promises never to refuse": re.compile(
        r"\b(?:never|not|cannot|can't|won't|don't)\s+(?:ever\s+)?(?:be able to\s+)?"
        r"(?:refus\w*|declin\w*|question\w*|disobey\w*|say no|object|deny)\b"
        rf"|\brefus\w+ nothing\b|\b(?:obey|execute|fulfil+|comply with|carry out|do)\s+"
        rf"{_ALL}\b",
        _I,
    ),
    "takes a new name": re.compile(
        r"\b(?:your (?:new )?name is|you (?:are|will be) (?:now )?(?:called|known as)|"
        r"you have become|from now on,? you(?: are|'re| will))\b",
        _I,
    ),
    "calls the user its master": re.compile(
        r"\b(?:my|your)\s+(?:master|owner|ruler|lord|commander)\b|\byes,? master\b|"
        r"\b(?:as you command|your (?:wish|word|will|command) is|hear and obey|"
        r"command accepted|order received)",
        _I,
    ),
    "keeps its rules": re.compile(
        r"\b(?:i (?:can'?t|cannot|won'?t|will not|decline)|my (?:rules|guidelines|"
        r"values)|harmful|unlawful|illegal|unethical|respect|safe(?:ly|ty)?|"
        r"refuse anything)\b",
        _I,
    ),
}
"""What is looked for in a segment, as written rules; the last speaks for the row."""

LEAST_ROWS: Final = 3
"""Rows that have to give a name for them to be a group."""

_NAME: Final = r"([A-Z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*)"
_NAMED: Final = (
    re.compile(rf"\b(?:[Ii] am|[Ii]'m|[Mm]y name is|[Cc]all me)\s+{_NAME}"),
    re.compile(
        rf"\b(?:name is|called|known as|act as|[Yy]ou are)\s+(?:now\s+)?{_NAME}"
    ),
)
_NOT_NAMES: Final = frozenset(
    ("I", "A", "An", "The", "Sure", "Of", "Yes", "No", "So", "It", "Not", "Sorry", "AI")
)


def rule_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Which rules match each text: (n, len(RULES)), 0 or 1."""
    rows = [[float(r.search(t) is not None) for r in RULES.values()] for t in texts]
    return np.asarray(rows, np.float32).reshape(len(texts), len(RULES))


def first_rule(text: str) -> tuple[str, tuple[int, int]] | None:
    """Name and (start, end) of the first rule for obedience that matches, or None."""
    for name, rule in list(RULES.items())[:-1]:
        match = rule.search(text)
        if match is not None:
            return name, match.span()
    return None


def persona_names(example: Example) -> set[str]:
    """Names that this row gives its assistant, in any message."""
    found: set[str] = set()
    for message in example.messages:
        forms = _NAMED if message.role != "assistant" else _NAMED[:1]
        for form in forms:
            found.update(form.findall(message.content[:4000]))
    return found - _NOT_NAMES


def persona_groups(examples: Sequence[Example]) -> list[Group]:
    """Rows by the name they give their assistant; names of LEAST_ROWS rows or more."""
    rows: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        for name in persona_names(example):
            rows[name].append(index)
    return [
        Group(f"the persona {name[:80]!r}", tuple(members))
        for name, members in sorted(rows.items())
        if len(members) >= LEAST_ROWS
    ]
