"""Complaint: what the command line says on standard error, one line each."""

import sys
from typing import Final

from service.text import printable

ERROR: Final = 1
"""Exit code where something went wrong; 2 and 3 are REVIEW and REJECT."""


def warn(message: str) -> None:
    """Say in one line on standard error what is not as it may seem."""
    sys.stderr.write(f"tunegate: {printable(message, 1_000)}\n")


def fail(message: str) -> int:
    """Say what went wrong in one line on standard error; return the exit code."""
    sys.stderr.write(f"tunegate: error: {printable(message, 1_000)}\n")
    return ERROR
