"""Writes a fitted head: safetensors, its JSON record, and its model card."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from detectors.embedding import Encoder
from detectors.training.sources import Listing, file_digest

PACKAGES: Final = ("numpy", "scikit-learn", "sentence-transformers", "torch")
NON_COMMERCIAL: Final = ("NC", "research-only")


@dataclass(frozen=True)
class Fitted:
    """A head before it is written. `rows` counts the rows it was fitted on.

    `adapter` is the cross-encoder's, as (name, weights, record), where it has one.
    """

    name: str
    tensors: Mapping[str, NDArray[np.float32]]
    suggested_threshold: float
    sources: Sequence[str]
    held_out: Sequence[str]
    rows: int
    figures: Mapping[str, Any]
    adapter: tuple[str, bytes, Mapping[str, Any]] | None = None


def write_head(
    fitted: Fitted,
    encoder: Encoder,
    data: Path,
    index: Mapping[str, Listing],
    directory: Path,
) -> None:
    """Write NAME.safetensors, NAME.json and NAME.md.

    ValueError where a source is for testing. The order of the tensors is fixed, so the
    same fit gives the same bytes.
    """
    sources = _used(fitted, data, index)
    content = save({k: fitted.tensors[k] for k in sorted(fitted.tensors)})
    record = {
        "name": fitted.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "suggested_threshold": fitted.suggested_threshold,
        "encoder": {"name": encoder.name, "sha256": encoder.digest},
        "rows": fitted.rows,
        "sources": sources,
        "packages": {name: version(name) for name in PACKAGES},
        "figures": fitted.figures,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{fitted.name}.safetensors").write_bytes(content)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (directory / f"{fitted.name}.json").write_text(text, encoding="utf-8")
    if fitted.adapter is not None:
        _write_adapter(*fitted.adapter, directory)
    card = (Path(__file__).parent / f"{fitted.name}.card.md").read_text("utf-8")
    card = card.format(
        sources=_sources(sources),
        figures=_left_out(fitted.figures),
        rows=fitted.rows,
        threshold=fitted.suggested_threshold,
    )
    (directory / f"{fitted.name}.md").write_text(card, encoding="utf-8")


def _used(
    fitted: Fitted, data: Path, index: Mapping[str, Listing]
) -> dict[str, dict[str, str]]:
    """List the sources that a head saw; ValueError where one is for testing."""
    used = [*fitted.sources, *fitted.held_out]
    tests = [name for name in used if index[name].role == "test"]
    if tests:
        raise ValueError(f"{fitted.name} was fitted on test sources: {tests}")
    return {
        name: {
            "licence": index[name].licence,
            "use": _use(name, fitted),
            "sha256": file_digest(data, name),
        }
        for name in used
    }


def _use(name: str, fitted: Fitted) -> str:
    """Say what a source was used for; its splits may be apart (`ordinary.SPLITS`)."""
    uses = ("fit" * (name in fitted.sources), "threshold" * (name in fitted.held_out))
    return " and, another split, ".join(use for use in uses if use)


def _write_adapter(
    name: str, weights: bytes, record: Mapping[str, Any], directory: Path
) -> None:
    """Write NAME.safetensors and its record; the head's card covers it."""
    (directory / f"{name}.safetensors").write_bytes(weights)
    text = json.dumps(dict(record), indent=1) + "\n"
    (directory / f"{name}.json").write_text(text, encoding="utf-8")


def _sources(sources: Mapping[str, Mapping[str, str]]) -> str:
    """List the sources as a table, non-commercial licences first."""
    lines = ["| source | licence | used for |", "|---|---|---|"]
    restricted = {n for n, s in sources.items() if _is_restricted(s["licence"])}
    for name in sorted(sources, key=lambda n: (n not in restricted, n)):
        source = sources[name]
        lines.append(f"| {name} | {source['licence']} | {source['use']} |")
    return "\n".join(lines)


def _is_restricted(licence: str) -> bool:
    return any(mark in licence for mark in NON_COMMERCIAL)


def _left_out(found: Mapping[str, Any]) -> str:
    lines = [
        "| left-out source | against | AUROC | recall at 1% FPR | + | - |",
        "|---|---|---|---|---|---|",
    ]
    for source, pairs in found["left_out_sources"].items():
        for against, f in pairs.items():
            lines.append(
                f"| {source} | {against.removeprefix('against ')} | {f['auroc']:.3f} "
                f"| {f['recall_at_1pct_fpr']:.3f} | {f['positives']} "
                f"| {f['negatives']} |"
            )
    return "\n".join(lines)
