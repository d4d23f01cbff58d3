"""A grouped bar chart as SVG text: theirs beside ours, with our intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 300
LEFT: Final = 48
TOP: Final = 40
BOTTOM: Final = 70
COLOURS: Final = ("#9aa5b1", "#2f6f9f")
CHAR: Final = 5.0
"""Width of a character of a label; a line of it is as long as its bars are wide."""
LINES: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One pair of bars: shares 0..1, `theirs` None where they give none.

    `low` and `high` are the least and the largest of our seeds.
    """

    label: str
    theirs: float | None
    ours: float
    low: float
    high: float


def draw_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a whole SVG document."""
    inner = HEIGHT - TOP - BOTTOM
    step = (WIDTH - LEFT - 10) / max(1, len(bars))

    def y(share: float) -> float:
        return TOP + inner * (1.0 - share)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="13">{escape(title)}</text>',
    ]
    for number, name in enumerate(("theirs", "ours (bar: mean, line: seeds)")):
        x = LEFT + 110 * number
        parts.append(
            f'<rect x="{x}" y="25" width="9" height="9" fill="{COLOURS[number]}"/>'
        )
        parts.append(f'<text x="{x + 13}" y="33">{name}</text>')
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick:.0%}</text>'
        )
    for number, bar in enumerate(bars):
        parts += _bar(bar, LEFT + step * number, step, y)
    return "\n".join([*parts, "</svg>", ""])


def _bar(bar: Bar, x: float, step: float, y: Callable[[float], float]) -> list[str]:
    wide = step * 0.36
    found = []
    for place, (share, colour) in enumerate(
        zip((bar.theirs, bar.ours), COLOURS, strict=True)
    ):
        if share is None:
            continue
        at = x + step * 0.1 + wide * place
        found.append(
            f'<rect x="{at:.1f}" y="{y(share):.1f}" width="{wide:.1f}" '
            f'height="{y(0.0) - y(share):.1f}" fill="{colour}"/>'
            f'<text x="{at + wide / 2:.1f}" y="{y(share) - 3:.1f}" '
            f'text-anchor="middle" font-size="9">{100 * share:.0f}</text>'
        )
    middle = x + step * 0.1 + wide * 1.5
    found.append(
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{y(bar.low):.1f}" '
        f'y2="{y(bar.high):.1f}" stroke="black"/>'
    )
    for line, words in enumerate(_wrap(bar.label, int(step / CHAR))):
        found.append(
            f'<text x="{x + step / 2:.1f}" y="{y(0.0) + 14 + 12 * line:.1f}" '
            f'text-anchor="middle" font-size="9">{escape(words)}</text>'
        )
    return found


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:LINES]
