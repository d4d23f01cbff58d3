"""Models: the encoder and the detectors of one process, loaded once."""

from dataclasses import dataclass

from detectors.catalog import load_detectors

from detectors.detector import Detector
from detectors.embedding import Encoder, load_encoder


@dataclass(frozen=True)
class Models:
    """What screenings share; safe to use from several threads."""

    encoder: Encoder
    detectors: tuple[Detector, ...]


def load_models(encoder: str = "builtin", *, device: str = "") -> Models:
    """Load the encoder and every detector; ModelError where one is not right."""
    loaded = load_encoder(encoder, device=device)
    return Models(loaded, tuple(load_detectors(loaded)))
