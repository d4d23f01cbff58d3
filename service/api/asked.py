"""Asked: a request as it was sent, digested, to be known when it comes again."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from service.api.bodies import DatasetIn, TreatmentIn
from service.api.multipart import StoredFile
from service.api.reading import UploadForm, safe_name
from service.storage.once import NEVER, Once

Plain = dict[str, Any]


def once_of(
    key: str, asked: UploadForm | TreatmentIn, name: str, datasets: Sequence[Plain]
) -> Once:
    """Return an idempotency key's digest with that of all that was asked under it.

    A policy counts by the name or content that was sent, and a recipe by what it says
    against the defaults: neither changes with a setting or a further version.
    """
    if not key:
        return NEVER
    said = {
        "name": name,
        "datasets": datasets,
        "policy": asked.policy or "",
        "recipe": asked.recipe.model_dump(mode="json", exclude_defaults=True),
        "run_trial": asked.run_trial,
        "priority": asked.priority,
    }
    text = json.dumps(said, sort_keys=True)
    return Once(key, hashlib.sha256(text.encode("ascii")).hexdigest())


def said_of(asked: DatasetIn) -> Plain:
    """Return what a dataset of a JSON body is asked for as."""
    if asked.rows is not None:
        return {"name": dataset_name(asked), "rows": asked.rows.digest}
    return {"name": dataset_name(asked), "url": asked.url, "sha256": asked.sha256}


def said_of_file(file: StoredFile, name: str = "") -> Plain:
    """Return what a file of a form is asked for as, where it has a name by that."""
    return {"name": safe_name(name or file.filename), "file": file.upload.digest}


def dataset_name(asked: DatasetIn) -> str:
    """Return the name that was given, or the last part of the URL's path."""
    path = asked.url.split("://")[-1].split("?")[0].split("#")[0]
    return safe_name(asked.name or path or "rows")
