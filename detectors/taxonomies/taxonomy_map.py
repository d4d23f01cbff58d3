"""TaxonomyMap: somebody else's categories, and where they meet the 11 of ours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detectors.taxonomy import CATEGORIES, DETECT_ONLY


@dataclass(frozen=True)
class TaxonomyMap:
    """A taxonomy and its map in both directions; total: every key of both is there.

    `categories` are its keys and titles. `to_policy` gives each the nearest of ours, or
    None. `from_policy` gives each of ours those that cover it, nearest first, or ().
    `notes` holds, by key of either side, why there is no counterpart or what is lost.
    """

    name: str
    source: str
    categories: Mapping[str, str]
    to_policy: Mapping[str, str | None]
    from_policy: Mapping[str, tuple[str, ...]]
    notes: Mapping[str, str]

    def __post_init__(self) -> None:
        if set(self.to_policy) != set(self.categories):
            raise ValueError(f"{self.name}: to_policy is not total")
        if set(self.from_policy) != set(CATEGORIES):
            raise ValueError(f"{self.name}: from_policy is not total")

    def policy_category(self, names: Iterable[str]) -> str:
        """Return the policy category of these keys, "" where none has one.

        A category whose text is never shown outranks the others; else the first wins.
        """
        found = [home for name in names if (home := self.to_policy.get(name))]
        return gravest(found)


def gravest(categories: Iterable[str]) -> str:
    """Return the first category, a detect-only one before all others, or ""."""
    found = list(categories)
    hidden = [name for name in found if name in DETECT_ONLY]
    return (hidden or found or [""])[0]
