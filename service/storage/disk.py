"""Disk: how much of it is free where the service writes."""

import shutil
from pathlib import Path


def free_bytes(*folders: Path | None) -> int:
    """Return what is free on the fullest of the disks; None is no disk of ours."""
    here = [_existing(each) for each in folders if each is not None]
    return min(shutil.disk_usage(each).free for each in here)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
