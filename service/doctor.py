"""Doctor: what is installed, on which device, which models, and do they fit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import torch
from rich.console import Console
from rich.text import Text

import trial.base_model
from detectors.catalog import load_detectors
from detectors.embedding import Encoder, load_encoder, supports_bf16
from detectors.errors import TunegateError
from service.judge import check_judge
from service.models import quiet_libraries
from service.moderator import check_moderator, idle_moderation
from service.policy import load_policy
from service.report.composition import package_versions
from service.settings import Settings
from service.text import printable

NOT_INSTALLED: Final = "not installed"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination: what, whether it is right, and details."""

    name: str
    right: bool
    detail: str


@dataclass
class Examination:
    """All checks made so far."""

    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, detail: str, *, right: bool = True) -> None:
        """Note a result."""
        self.checks.append(Check(name, right, detail))

    def attempt(self, name: str, step: Callable[[], str]) -> None:
        """Run a step; an error of ours is a check that failed, with its message."""
        try:
            self.add(name, step())
        except TunegateError as error:
            self.add(name, str(error), right=False)

    @property
    def right(self) -> bool:
        """Whether every check passed."""
        return all(check.right for check in self.checks)


def examine(settings: Settings) -> Examination:
    """Check packages, device, models, policy and moderation settings; asks nobody."""
    quiet_libraries()
    found = Examination()
    for name, version in package_versions().items():
        found.add(f"package {name}", version, right=version != NOT_INSTALLED)
    found.add("device", _device())
    encoders: list[Encoder] = []

    def encoder() -> str:
        encoders.append(load_encoder(settings.encoder))
        return f"{encoders[0].name}, weights sha256 {encoders[0].digest}"

    found.attempt(f"encoder {settings.encoder}", encoder)
    if encoders:
        _check_detectors(found, encoders[0])
    found.attempt(f"base model {settings.base_model}", lambda: _base(settings))
    found.attempt("policy", lambda: _policy(settings))
    found.attempt("moderation", lambda: check_moderator(settings))
    found.attempt("judge", lambda: check_judge(settings))
    return found


def print_examination(found: Examination, console: Console) -> None:
    """Print one line a check; long digests stay whole."""
    for check in found.checks:
        mark = Text("ok   ", "green") if check.right else Text("WRONG", "bold red")
        mark.append(f" {check.name:<30} ", "default")
        mark.append(printable(check.detail, 300), "default")
        console.print(mark, soft_wrap=True)


def _device() -> str:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    bf16 = "with" if supports_bf16(device) else "without"
    return f"{name}, {bf16} native bf16, {torch.get_num_threads()} threads"


def _check_detectors(found: Examination, encoder: Encoder) -> None:
    try:
        detectors = load_detectors(encoder)
    except TunegateError as error:
        found.add("detectors", str(error), right=False)
        return
    for detector in detectors:
        found.add(f"detector {detector.name}", f"version {detector.version}")


def _base(settings: Settings) -> str:
    base = trial.base_model.load_base(settings.base_model)
    return f"{base.name} on {base.device}, sha256 {base.digest}"


def _policy(settings: Settings) -> str:
    policy = load_policy(settings.policy)
    named = f"{policy.name}, sha256 {policy.digest}"
    idle = idle_moderation(settings, policy)
    return f"{named}; {idle}" if idle else named
