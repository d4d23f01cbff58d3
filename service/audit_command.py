"""`tunegate audit`: whether the record of what was done is whole."""

import argparse
import sys
from typing import Any

from service.complaint import ERROR, warn


def add_audit_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    audit = commands.add_parser("audit", help="verify the audit record")
    actions = audit.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="recompute the chain of hashes; 1 where it is broken",
        description="Prints the number of events and the last hash. Keep it elsewhere: "
        "with --head, a record that was cut off before it is found out too.",
    )
    verify.add_argument("--head", default="", metavar="HASH", help="must be in it")
    verify.set_defaults(run=verify_audit)


def verify_audit(options: argparse.Namespace) -> int:
    """Recompute the chain of the audit record; 1 where it is not whole."""
    from service.settings import load_settings
    from service.storage import audit
    from service.storage.database import connect, database_url, reading

    settings = load_settings()
    engine = connect(database_url(settings.database_url, settings.data_dir))
    try:
        with reading(engine).connect() as connection:
            found = audit.verify(connection, options.head)
    finally:
        engine.dispose()
    sys.stdout.write(f"{found.events} events, head {found.head}\n")
    if found.broken_at is not None:
        warn(f"the chain is broken at event {found.broken_at}")
    elif not found.seen:
        warn("the event of that hash is not in the record")
    return 0 if found.right else ERROR
