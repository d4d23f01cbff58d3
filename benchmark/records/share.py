"""A measurement shared between processes."""

import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def part_of(text: str) -> tuple[int, int]:
    """Read "K/N", 1 <= K <= N; raises ArgumentTypeError where it is none."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    part, parts = (int(number) for number in found.groups()) if found else (0, 0)
    if not 1 <= part <= parts:
        raise ArgumentTypeError(f"{text!r} is no share: K/N with 1 <= K <= N")
    return part, parts


def pairs_of(items: Sequence[T], part: int, parts: int) -> list[T]:
    """Every `parts`-th pair: where two kinds take turns, a share has both."""
    return [one for n, one in enumerate(items) if n // 2 % parts == part - 1]
