"""Caller: on whose behalf something is done, and what that one may do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from detectors.errors import InputError

Scope = Literal["submit", "read", "review", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""submit: ask for screenings. read: see them. review: say what became of them, try
policies. admin: delete, configure; it includes the other three."""

DEFAULT_TENANT: Final = "default"
"""Whose all is where no key is asked for."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant, the key that spoke for it ("" for none), and that key's scopes."""

    tenant: str = DEFAULT_TENANT
    key: str = ""
    scopes: frozenset[Scope] = field(default=frozenset(SCOPES))

    def may(self, scope: Scope) -> bool:
        """Say whether the caller holds a scope."""
        return scope in self.scopes or "admin" in self.scopes


OPEN: Final = Caller()
"""Anyone, where no key is asked for."""


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of those names; InputError where one is unknown or none is."""
    found = [name.strip() for name in names if name.strip()]
    wrong = sorted(set(found) - set(SCOPES))
    if wrong or not found:
        said = f"{wrong[0][:40]!r} is no scope" if wrong else "a key needs a scope"
        raise InputError(f"{said}: choose of {', '.join(SCOPES)}")
    return frozenset(cast(list[Scope], found))
