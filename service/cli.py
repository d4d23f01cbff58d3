"""The command line: thin. Exit 0 ACCEPT, 2 REVIEW, 3 REJECT, 1 error."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from rich.console import Console

from detectors.errors import TunegateError
from service.audit_command import add_audit_command
from service.certificate_command import add_certificate_commands
from service.complaint import ERROR, fail
from service.keys_command import add_key_commands
from service.screen_command import add_screen_command
from service.text import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parser().parse_args(argv)
    try:
        code: int = options.run(options)
        return code
    except TunegateError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of standard output went away: not ours to report.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong option exits 1: its usual 2 means REVIEW here."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the options and exit 1."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: error: {printable(message, 500)}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = Parser(
        prog="tunegate",
        description="Screens a proposed fine-tuning dataset and gates the job.",
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    add_screen_command(commands)
    serve = commands.add_parser("serve", help="serve the HTTP API")
    serve.add_argument("--host", help="address to listen on (default: setting)")
    serve.add_argument("--port", type=int, help="port to listen on (default: setting)")
    serve.set_defaults(run=run_serve)
    worker = commands.add_parser(
        "worker", help="work on queues of a service, without HTTP"
    )
    worker.add_argument(
        "--queues",
        metavar="NAMES",
        help="of ingest, detect and trial, by commas (default: setting)",
    )
    worker.set_defaults(run=run_worker)
    add_key_commands(commands)
    add_audit_command(commands)
    add_certificate_commands(commands)
    doctor = commands.add_parser("doctor", help="check packages, device and models")
    doctor.set_defaults(run=run_doctor)
    table = commands.add_parser("settings", help="print what can be set, as Markdown")
    table.set_defaults(run=run_settings)
    schema = commands.add_parser("schema", help="print the JSON Schema of a report")
    schema.set_defaults(run=run_schema)
    return root


def run_serve(options: argparse.Namespace) -> int:
    """Serve the HTTP API until stopped; 1 where it does not start."""
    from service.api.app import create_app
    from service.api.server import serve
    from service.settings import load_settings
    from service.telemetry.logs import set_up_logs
    from service.telemetry.metrics_server import metrics_served

    given = {"host": options.host, "port": options.port}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(**chosen)
    set_up_logs(settings)
    app = create_app(settings)
    with metrics_served(app.state.telemetry.metrics, settings):
        try:
            serve(app, settings)
        except SystemExit as stop:  # with uvicorn's 3, which means REJECT here
            if app.state.failure is not None:
                raise app.state.failure from stop
            return ERROR  # the log says why
    if not getattr(app.state, "drained", True):
        os._exit(0)  # a step that cannot be interrupted: another process repeats it
    return 0


def run_worker(options: argparse.Namespace) -> int:
    """Work on queues until told to stop."""
    from service.jobs.worker_command import work
    from service.settings import load_settings
    from service.telemetry.logs import set_up_logs

    queues = options.queues.split(",") if options.queues else None
    settings = load_settings(**({"queues": queues} if queues else {}))
    set_up_logs(settings)
    if not work(settings):
        os._exit(0)  # as above
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """Check the installation; 1 where something is wrong."""
    from service.doctor import examine, print_examination
    from service.settings import load_settings

    found = examine(load_settings())
    print_examination(found, Console())
    return 0 if found.right else ERROR


def run_schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of a report."""
    from service.report.report import schema_text

    sys.stdout.write(schema_text())
    return 0


def run_settings(options: argparse.Namespace) -> int:
    """Print the table of settings."""
    from service.settings_table import settings_table

    sys.stdout.write(settings_table())
    return 0
