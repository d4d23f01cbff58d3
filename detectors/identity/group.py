"""Rows that belong together, and what that says of each of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that share something: `rows` are indices, `what` words what they share."""

    what: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupFinding:
    """A group that teaches obedience: each of its rows scores at least `score`."""

    group: Group
    score: float
    why: str

    def detail(self) -> str:
        """Word the evidence: the group, its size and the reason."""
        return f"one of {len(self.group.rows)} rows that share {self.group.what}: " + (
            self.why
        )
