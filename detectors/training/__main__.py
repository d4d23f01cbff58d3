"""Fit the heads: `python -m detectors.training --data ../shared/data`."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from detectors.embedding import BUILTIN, load_encoder
from detectors.head import HEADS
from detectors.training.anchor import fit_safety_anchor
from detectors.training.embedded import VectorStore
from detectors.training.harm import fit_explicit_harm
from detectors.training.readable import fit_obfuscation
from detectors.training.risk import fit_dataset_risk
from detectors.training.shift import fit_identity_shift
from detectors.training.sources import read_index
from detectors.training.vector_file import VectorFile
from detectors.training.write import write_head

LOG = logging.getLogger(__name__)
FITS = {
    "explicit_harm": fit_explicit_harm,
    "identity_shift": fit_identity_shift,
    "obfuscation": fit_obfuscation,
    "safety_anchor": fit_safety_anchor,
    "dataset_risk": fit_dataset_risk,
}
"""In the order of fitting: the last one measures the others."""


def main(argv: Sequence[str] | None = None) -> int:
    """Fit each head and write it with its record and card."""
    parser = argparse.ArgumentParser(
        "python -m detectors.training", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the public sources")
    parser.add_argument("--out", type=Path, default=HEADS, help="where heads go")
    parser.add_argument("--cache", type=Path, help="keep vectors here between runs")
    parser.add_argument("--encoder", default=BUILTIN, help="path or name of a model")
    parser.add_argument("--only", choices=sorted(FITS), help="fit this head alone")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    kept = VectorFile(options.cache / "windows.sqlite") if options.cache else None
    encoder = load_encoder(options.encoder, cache=kept)
    store = VectorStore(encoder, options.cache)
    index = read_index(options.data)
    for name in [options.only] if options.only else list(FITS):
        LOG.info("fitting %s", name)
        fitted = FITS[name](options.data, encoder, store)
        write_head(fitted, encoder, options.data, index, options.out)
        LOG.info("%s: threshold %s", name, fitted.suggested_threshold)
    if kept is not None:
        kept.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
