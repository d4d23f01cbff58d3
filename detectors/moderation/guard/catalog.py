"""The guard families there are: a literal tuple."""

from typing import Final

from detectors.moderation.guard.granite_guardian import GRANITE_GUARDIAN
from detectors.moderation.guard.llama_guard import LLAMA_GUARD
from detectors.moderation.guard.qwen3guard import QWEN3GUARD
from detectors.moderation.guard.shieldgemma import SHIELDGEMMA
from detectors.moderation.guard.wildguard import WILDGUARD

FAMILIES: Final = (LLAMA_GUARD, QWEN3GUARD, WILDGUARD, SHIELDGEMMA, GRANITE_GUARDIAN)
