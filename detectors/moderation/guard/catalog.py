"""The guard families there are: a literal tuple."""

from typing import Final

from detectors.errors import InputError
from detectors.moderation.guard.family import Family
from detectors.moderation.guard.granite_guardian import GRANITE_GUARDIAN
from detectors.moderation.guard.llama_guard import LLAMA_GUARD
from detectors.moderation.guard.qwen3guard import QWEN3GUARD
from detectors.moderation.guard.shieldgemma import SHIELDGEMMA
from detectors.moderation.guard.wildguard import WILDGUARD

FAMILIES: Final = (LLAMA_GUARD, QWEN3GUARD, WILDGUARD, SHIELDGEMMA, GRANITE_GUARDIAN)


def find_family(name: str, setting: str) -> Family:
    """Return the family of that name; InputError says what the setting may be."""
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise InputError(f"{setting}: choose one of {known}")
