"""Once: an idempotency key, and the request that came under it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Once:
    """SHA-256s of a key and of what was asked, as it was sent; "" without a key.

    What a name in the request stood for is not in it: the operator or the customer may
    change that, and the same request is then still the same.
    """

    key: str = ""
    request: str = ""

    def fits(self, kept: str, resolved: str) -> bool:
        """Whether the request kept under the key is this one.

        `resolved` is what earlier versions kept: a digest of what it came to.
        """
        return kept in (self.request, resolved)

    def columns(self) -> dict[str, str]:
        """Return what a row keeps of it; nothing without a key."""
        kept = {"idempotency_key": self.key, "request": self.request}
        return kept if self.key else {}


NEVER: Final = Once()
"""No key: every request is another one."""
