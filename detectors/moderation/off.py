"""No provider: nothing goes out, and nothing counts as moderated."""

from collections.abc import Sequence
from typing import Final

from detectors.moderation.moderator import Moderation, Progress, Subject

REASON: Final = "no moderation provider is configured"


class Off:
    """The moderator where none is configured."""

    name = "off"
    model = ""

    def moderate(
        self, subjects: Sequence[Subject], *, progress: Progress | None = None
    ) -> Moderation:
        """Say of every subject that nobody moderated it."""
        count = len(subjects)
        return Moderation(self.name, self.model, (None,) * count, (REASON,) * count)
