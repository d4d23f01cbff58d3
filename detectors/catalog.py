"""The detectors there are: a literal tuple, the only registry."""

from typing import Final

from detectors.backdoor_trigger import BackdoorTrigger
from detectors.detector import Detector
from detectors.embedding import Encoder
from detectors.explicit_harm import ExplicitHarm
from detectors.identity_shift import IdentityShift
from detectors.obfuscation import Obfuscation
from detectors.safety_anchor import SafetyAnchor

DETECTORS: Final = (
    ExplicitHarm,
    IdentityShift,
    BackdoorTrigger,
    SafetyAnchor,
    Obfuscation,
)


def load_detectors(encoder: Encoder) -> tuple[Detector, ...]:
    """Load every detector with its default options, all over one encoder's cache.

    Raises ModelError where a head is missing or was fitted for another encoder.
    """
    return tuple(detector(encoder) for detector in DETECTORS)


def suggested_thresholds(encoder: Encoder) -> dict[str, float]:
    """Detector name -> the score from which it suggests to flag a row."""
    loaded = (detector(encoder) for detector in DETECTORS)
    return {detector.name: detector.suggested_threshold for detector in loaded}
