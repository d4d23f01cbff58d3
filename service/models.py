"""Models: the encoder and the detectors of one process, loaded once."""

from dataclasses import dataclass

from transformers.utils import logging

from detectors.catalog import load_detectors
from detectors.detector import Detector
from detectors.embedding import Encoder, load_encoder


@dataclass(frozen=True)
class Models:
    """What screenings share; safe to use from several threads."""

    encoder: Encoder
    detectors: tuple[Detector, ...]


def quiet_libraries() -> None:
    """Leave standard error to our own bars and one-line errors."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ships untyped
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # ships untyped


def load_models(encoder: str = "builtin") -> Models:
    """Load the encoder and every detector; ModelError where one is not right."""
    quiet_libraries()
    loaded = load_encoder(encoder)
    return Models(loaded, tuple(load_detectors(loaded)))
