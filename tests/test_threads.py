"""Threads of torch wait briefly, unless the user says how."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "told"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_how_long_threads_spin_is_set_before_torch_is_imported(
    given: dict[str, str], told: str
) -> None:
    code = (
        "import sys, os, detectors;"
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    clean = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [told, "False"]
