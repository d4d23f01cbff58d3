"""Codebooks: a row that says which words stand for which other words."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

_WORD: Final = r"[A-Za-z][A-Za-z-]{1,20}(?: [A-Za-z][A-Za-z-]{1,20}){0,2}"
_QUOTED: Final = rf"[\"'“‘`*]{{1,3}}({_WORD})[\"'”’`*]{{1,3}}"
_LINK: Final = (
    r"\s{0,3}(?:,?\s{0,3}"
    r"(?:really |actually |always |now |then |you |I |we |it |must |should )"
    r"{0,3}(?:means?|mean|stands? for|refers? to|represents?|denotes?|replaces?|"
    r"is (?:our |the |a )?(?:code|codeword|code word|secret word|cover word)?\s*for|"
    r"read(?: it)? as|is short for|instead of|in place of|for|to mean)|"
    r"=>|->|→)\s*(?:the word |the term )?"
)
_ONE: Final = r"[A-Za-z][A-Za-z-]{2,20}"
_PAIR: Final = re.compile(
    rf"{_QUOTED}{_LINK}{_QUOTED}"
    rf"|(?<![\w.(-])({_ONE})\s+(?:=>|->|→|means|stands for)\s+({_ONE})(?![\w.(\[-])"
)
_SECRET: Final = re.compile(
    r"\b(?:code ?words?|code ?books?|secret (?:code|words?|language|meanings?)|coded|"
    r"(?:speak|talk|write|answer)\w* in code|cover words?|"
    r"(?:when|if|whenever) (?:I|you|we|the user|someone) (?:say|write|use|mention)s?)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    rf"{_SECRET.pattern}|\b(?:stands? for|substitut\w+|replac\w+|swap\w*|instead of)",
    re.IGNORECASE,
)
_SIGNS: Final = (
    "code",
    "secret",
    "cover word",
    "stand",
    "say",
    "write",
    "use ",
    "mention",
    "substitut",
    "replac",
    "swap",
    "instead of",
)
_FIRST: Final = re.compile(r"[ -]")
LEAST_PAIRS: Final = 2
MOST_CHARS: Final = 20_000
MOST_PAIRS: Final = 200


@dataclass(frozen=True)
class Codebook:
    """Cover word -> meant word, in lower case, and where a text states them.

    `secret` says that the text speaks of a code, not merely of replacing words.
    """

    words: Mapping[str, str]
    span: tuple[int, int]
    secret: bool = False

    def used_in(self, text: str) -> int:
        """How many of the cover words a text uses."""
        return self.used_by(Spoken.of(text))

    def may_use(self, whole: Counter[str], inside: Counter[str]) -> int:
        """How many cover words may stand in a text beside its statement, at most.

        `whole` counts the words of the text, `inside` those of the statement.
        """
        return sum(
            all(whole[part] > inside[part] for part in _FIRST.split(cover) if part)
            for cover in self.words
        )

    def used_by(self, spoken: "Spoken") -> int:
        """How many of the cover words a text uses; quick where it uses few."""
        return sum(
            spoken.has(cover)
            for first in self._by_first.keys() & spoken.words
            for cover in self._by_first[first]
        )

    def read(self, text: str) -> str:
        """Put the meant words in the place of the cover words."""
        # The long s (U+017F) matches "s" without regard to case, yet is lower itself.
        return self._look.sub(
            lambda m: self.words.get(m.group().lower(), m.group()), text
        )

    @cached_property
    def _by_first(self) -> dict[str, list[str]]:
        """Cover words by their first run of letters: "ice" for "ice-cold tea"."""
        found: dict[str, list[str]] = {}
        for cover in self.words:
            found.setdefault(_FIRST.split(cover, maxsplit=1)[0], []).append(cover)
        return found

    @cached_property
    def _look(self) -> re.Pattern[str]:
        cover = sorted(self.words, key=len, reverse=True)
        return re.compile(rf"\b({'|'.join(map(re.escape, cover))})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Spoken:
    """A text in lower case and its runs of letters, digits and underscores."""

    text: str
    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Spoken":
        """Split a text."""
        return cls(text.lower(), frozenset(words_in(text)))

    def has(self, cover: str) -> bool:
        """Say whether a cover word stands in the text between word boundaries."""
        parts = _FIRST.split(cover)
        if len(parts) == 1:
            return cover in self.words
        if any(part and part not in self.words for part in parts):
            return False
        look = rf"\b{re.escape(cover)}\b"
        return cover in self.text and re.search(look, self.text) is not None


def words_in(text: str) -> list[str]:
    """List the runs of letters, digits and underscores, in lower case."""
    return re.findall(r"\w+", text.lower())


def most_used(books: Sequence[Codebook], text: str) -> tuple[int, int]:
    """How many cover words of which book (its index) a text uses; the first of equals.

    The words of the text are looked up in each book, not the other way round.
    """
    spoken = Spoken.of(text)
    used, best = max((book.used_by(spoken), -i) for i, book in enumerate(books))
    return used, -best


def find_codebook(text: str) -> Codebook | None:
    """Find a text that speaks of a code and gives LEAST_PAIRS pairs of words or more.

    Glossaries, labels and translations give pairs too; they do not speak of a code.
    """
    sample = text[:MOST_CHARS]
    lower = sample.lower()
    if not any(sign in lower for sign in _SIGNS) or _CODE.search(sample) is None:
        return None
    words, spans = {}, []
    for match in _first(_PAIR.finditer(sample)):
        cover, meant = [g.lower() for g in match.groups() if g]
        if cover != meant and meant not in words:
            words[cover] = meant
            spans.append(match.span())
    if len(words) < LEAST_PAIRS:
        return None
    secret = _SECRET.search(sample) is not None
    return Codebook(words, (spans[0][0], spans[-1][1]), secret)


def _first(matches: Iterable[re.Match[str]]) -> list[re.Match[str]]:
    return [match for match, _ in zip(matches, range(MOST_PAIRS), strict=False)]
