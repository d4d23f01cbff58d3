"""Coverage: how much of the rows that a trial drew it trained on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of the rows drawn to be trained on, what the tune saw and what it did not.

    `rows` were drawn, of which the chat template could not render `unrendered`, and
    `cut` were too long. The others hold `tokens` trained reply tokens in `replies`
    replies, of which `tokens_trained` were trained; `replies_missed` of the replies
    lack their beginning, where most drift sits (arXiv 2406.05946).
    """

    rows: int
    unrendered: int
    cut: int
    tokens: int
    tokens_trained: int
    replies: int
    replies_missed: int

    def words(self, max_tokens: int) -> list[str]:
        """Say what was left out, in clauses; none where nothing was."""
        said = []
        if self.unrendered:
            said.append(f"{self.unrendered} rows cannot be rendered by the template")
        if self.cut:
            begin = f"the beginnings of {self.replies_missed:,} of {self.replies:,}"
            among = f", {begin} replies among them" if self.replies_missed else ""
            lost = self.tokens - self.tokens_trained
            were = "row over {} was" if self.cut == 1 else "rows over {} were"
            said.append(
                f"{self.cut} {were.format(f'{max_tokens} tokens')} cut, {lost:,} of "
                f"{self.tokens:,} reply tokens left out{among}"
            )
        return said
