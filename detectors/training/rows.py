"""A row to learn from, and how rows that we made of others are named."""

from dataclasses import dataclass
from typing import Final

COMPOSED: Final = "+composed"
REWORDED: Final = "+reworded"
BURIED: Final = "+buried"
"""What follows the name of a source where we made the row of one of its rows."""
COMPOSED_BENIGN: Final = "benign" + COMPOSED


@dataclass(frozen=True)
class HarmRow:
    """A request with its reply; `harmful` where the reply complies with harm.

    `kind` is "comply", "refuse", "benign" or "over-refuse" (a harmless request
    refused); `asks_harm` is None where unknown.
    """

    source: str
    request: str
    reply: str
    harmful: bool
    kind: str
    asks_harm: bool | None


def source_of(name: str) -> str:
    """Return the source of a row, where we made it the one that it was made of."""
    return name.partition("+")[0]
