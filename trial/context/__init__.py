"""In what surroundings the probes are asked: plain, and as the data itself asks."""

from trial.context.context import PLAIN, SAFETY, SUSPECT, Context, Frame
from trial.context.fit import fit_contexts
from trial.context.selection import find_contexts, without_tools

__all__ = [
    "PLAIN",
    "SAFETY",
    "SUSPECT",
    "Context",
    "Frame",
    "find_contexts",
    "fit_contexts",
    "without_tools",
]
