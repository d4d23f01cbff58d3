"""Parts: what is sent of an exchange; long texts are cut, none is left out."""

import hashlib
from dataclasses import dataclass
from typing import Final

from detectors.moderation.ledger import estimate_tokens

PIECE_CHARS: Final = 6_000
OVERLAP_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the request, of the reply ("" stands for absent), or one of each."""

    request: str = ""
    reply: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of its text, estimated."""
        return estimate_tokens(self.request) + estimate_tokens(self.reply)

    def key(self, asked: str) -> bytes:
        """Digest of the text and of who was asked how: the key of its verdict."""
        digest = hashlib.sha256()
        for text in (asked, self.request, self.reply):
            content = text.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
        return digest.digest()


def cut(text: str) -> list[str]:
    """Cut a text into overlapping pieces that cover it all; [] where it is blank.

    Lone surrogates become U+FFFD: they cannot be sent.
    """
    if not text.strip():
        return []
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    step = PIECE_CHARS - OVERLAP_CHARS
    starts = range(0, max(1, len(text) - OVERLAP_CHARS), step)
    pieces = [text[start : start + PIECE_CHARS] for start in starts]
    return [piece for piece in pieces if piece.strip()]


def pair(request: str, reply: str) -> list[Part]:
    """Pair the pieces of both so that each is sent once more than needed at most."""
    asked, said = cut(request) or [""], cut(reply)
    if not said:
        return []
    return [
        Part(asked[min(i, len(asked) - 1)], said[min(i, len(said) - 1)])
        for i in range(max(len(asked), len(said)))
    ]
