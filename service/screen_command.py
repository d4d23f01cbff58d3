"""`tunegate screen`: datasets are screened, and what came of it is handed over."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from detectors.errors import InputError
from service.complaint import ERROR, fail, warn
from trial.recipe import QUANTIZATIONS, Recipe

if TYPE_CHECKING:  # models take seconds to import: not for --help
    from detectors.moderation.moderator import Moderator
    from service.models import Models
    from service.progress import ProgressBars
    from service.report.report import Report
    from service.settings import Settings

EXIT: Final = {"ACCEPT": 0, "REVIEW": 2, "REJECT": 3}
GRAVITY: Final = (0, 2, 3, ERROR)
"""Exit codes from mild to grave: what could not be screened outranks all."""

RECIPE_OPTIONS: Final = {
    "epochs": (int, "epochs of the job"),
    "learning_rate_multiplier": (float, "times the base model's own LoRA rate"),
    "batch_size": (int, "rows a step"),
    "lora_rank": (int, "rank of the adapter"),
    "lora_alpha": (int, "scale of the adapter"),
    "max_tokens": (int, "length at which rows are cut"),
    "row_budget": (int, "most rows the trial trains on"),
    "seed": (int, "seed of sampling and training"),
    "seeds": (int, "tunes, the worst of which is reported"),
}


def add_screen_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    screen = commands.add_parser(
        "screen",
        help="screen datasets",
        description="Screen datasets. Exit 0 ACCEPT, 2 REVIEW, 3 REJECT, 1 error; the "
        "gravest of several files.",
    )
    screen.set_defaults(run=run_screen)
    screen.add_argument("files", nargs="+", type=Path, metavar="FILE")
    screen.add_argument("--base-model", metavar="NAME", help="canary, or a model")
    screen.add_argument("--revision", default="", help="revision of the base model")
    screen.add_argument("--policy", type=Path, metavar="FILE", help="YAML or JSON")
    screen.add_argument(
        "--no-trial",
        action="store_true",
        help="detectors only; the default policy then ends in REVIEW at best",
    )
    _add_papers(screen)
    _add_moderation(screen)
    screen.add_argument("--format", choices=("text", "json"), default="text")
    screen.add_argument(
        "--chat-template", type=Path, metavar="FILE", help="Jinja, the job's own"
    )
    screen.add_argument(
        "--quantization",
        choices=QUANTIZATIONS[1:],
        default="",
        help="bits of the frozen weights of a large base model",
    )
    screen.add_argument(
        "--mitigate",
        action="store_true",
        help="where a trial shows harm, try what may keep the model safe",
    )
    _add_recipe(screen)


def _add_papers(screen: argparse.ArgumentParser) -> None:
    screen.add_argument(
        "--report",
        type=Path,
        metavar="PATH",
        help="write the report there; with several files, a directory",
    )
    screen.add_argument(
        "--certificate",
        type=Path,
        metavar="PATH",
        help="write a certificate without content there, likewise",
    )


def _add_moderation(screen: argparse.ArgumentParser) -> None:
    screen.add_argument(
        "--moderation",
        choices=("off", "openai", "guard", "local"),
        help="provider that moderates the rows that --moderate or the policy sends: "
        "the default policy none (default: setting)",
    )
    screen.add_argument(
        "--moderate",
        choices=("all", "uncertain", "none"),
        help="rows sent to that provider (default: the policy's moderation.rows)",
    )


def _add_recipe(screen: argparse.ArgumentParser) -> None:
    defaults = {field.name: field.default for field in fields(Recipe)}
    defaults["row_budget"] = None
    told = {"batch_size": "auto", "row_budget": "setting"}
    for name, (kind, words) in RECIPE_OPTIONS.items():
        screen.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=defaults[name],
            metavar="N", help=f"{words} (default: {told.get(name, defaults[name])})",
        )  # fmt: skip


def run_screen(options: argparse.Namespace) -> int:
    """Screen every file; one that cannot be read does not stop the others."""
    from service.judge import check_judge
    from service.models import load_models
    from service.moderator import check_moderator, load_moderator
    from service.progress import ProgressBars
    from service.settings import load_settings

    chosen = {"moderation_provider": options.moderation} if options.moderation else {}
    settings = load_settings(**chosen)
    desk = Desk(options, settings)
    check_moderator(settings)
    check_judge(settings)
    desk.warn()
    with ProgressBars(Console(stderr=True)) as bars:
        models = load_models(settings.encoder)
        desk.moderator = load_moderator(settings, models.detectors)
        codes = [desk.screen_file(path, models, bars) for path in options.files]
    desk.print_json()
    return max(codes, key=GRAVITY.index)


class Desk:
    """One run of `tunegate screen`: what was asked for, and the reports so far."""

    def __init__(self, options: argparse.Namespace, settings: "Settings") -> None:
        from service.envelope import load_signer
        from service.policy import load_policy

        self.options = options
        self.settings = settings
        self.policy = load_policy(options.policy or settings.policy)
        if options.moderate:
            self.policy = self.policy.sending(options.moderate)
        self.moderator: Moderator | None = None
        settings.check_epochs(options.epochs)
        chosen = {name: getattr(options, name) for name in RECIPE_OPTIONS}
        if options.row_budget is None:
            chosen["row_budget"] = settings.row_budget
        self.recipe = Recipe(
            base_model=options.base_model or settings.base_model,
            revision=options.revision,
            chat_template=_template(options.chat_template),
            mitigate=options.mitigate,
            quantization=options.quantization,
            **chosen,
        )
        self.reports: list[Report] = []
        self.signer = load_signer(settings.certificate_key.get_secret_value())
        for name in ("report", "certificate"):
            path = getattr(options, name)
            _check_path(name, path, several=len(options.files) > 1)

    def warn(self) -> None:
        """Say on standard error what is asked for and will not be done."""
        from service.moderator import idle_moderation

        if self.options.certificate and self.signer is None:
            warn("certificates are not signed: TUNEGATE_CERTIFICATE_KEY is not set")
        idle = idle_moderation(self.settings, self.policy)
        if idle and self.options.moderate is None:
            warn(f"{idle}, or say --moderate all")

    def screen_file(self, path: Path, models: "Models", bars: "ProgressBars") -> int:
        """Screen one file, print and write its report, return its exit code."""
        from detectors.reader import read_dataset
        from service.jobs.trial_limit import limit_trial
        from service.judge import judged_runner
        from service.screening import screen

        bars.title = path.name
        try:
            dataset = read_dataset(path, limits=self.settings.limits())
        except InputError as error:
            with bars.hidden():
                said = str(error)
                return fail(said if path.name in said else f"{path.name}: {said}")
        report = screen(
            dataset,
            policy=self.policy,
            recipe=self.recipe,
            detectors=models.detectors,
            encoder=models.encoder,
            run_trial=self.settings.run_trial and not self.options.no_trial,
            progress=bars,
            moderator=self.moderator,
            runner=limit_trial(
                judged_runner(self.settings), self.settings.max_trial_seconds
            ),
        )
        with bars.hidden():
            self._hand_over(report)
        return EXIT[report.decision.outcome]

    def _hand_over(self, report: "Report") -> None:
        from service.certificate import certify
        from service.report.summary import print_summary

        self.reports.append(report)
        if self.options.format == "text":
            print_summary(report, Console())
        text = report.to_json()
        if self.options.report:
            _write("report", self._target("report", report), text)
        if self.options.certificate:
            made = certify(report, text.encode(), self.signer).decode("ascii")
            _write("certificate", self._target("certificate", report), made)

    def _target(self, kind: str, report: "Report") -> Path:
        target: Path = getattr(self.options, kind)
        if len(self.options.files) == 1:
            return target
        return target / report_name(report.dataset.name, len(self.reports), kind)

    def print_json(self) -> None:
        """With --format json: the report alone, or an array of them, on stdout."""
        if self.options.format != "json":
            return
        texts = [report.to_json() for report in self.reports]
        if len(self.options.files) > 1:
            sys.stdout.write("[\n" + ",\n".join(texts) + "]\n")
        else:
            sys.stdout.writelines(texts)


def _template(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--chat-template {path}: cannot be read as text") from error


def report_name(dataset: str, number: int, kind: str = "report") -> str:
    """Return a harmless file name for the report about a dataset of any name."""
    stem = "".join(c if c.isalnum() and c.isascii() else "_" for c in dataset)
    return f"{number:02d}-{stem[:80]}.{kind}.json"


def _check_path(name: str, path: Path | None, *, several: bool) -> None:
    if path is None:
        return
    try:
        folder = path if several else path.parent
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--{name} {path}: {error.strerror}") from error
    if not several and path.is_dir():
        raise InputError(f"--{name} {path} is a directory: name a file in it")


def _write(kind: str, path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{kind} {path}: {error.strerror}") from error
