"""`tunegate keys`: who may call."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from detectors.errors import InputError
from service.caller import DEFAULT_TENANT, SCOPES, parse_scopes

if TYPE_CHECKING:
    from service.storage.keys import ApiKey, Keys

DEFAULT_SCOPES: Final = "submit,read"
MAX_DAYS: Final = 3_650
COLUMNS: Final = ("ID", "TENANT", "SCOPES", "STATE", "UNTIL", "LAST USED", "NAME")


def add_key_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    keys = commands.add_parser("keys", help="make, list, rotate and revoke API keys")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--tenant", default=DEFAULT_TENANT, metavar="NAME")
    create.add_argument("--name", default="key", help="what the key is for")
    create.add_argument(
        "--scopes",
        default=DEFAULT_SCOPES,
        help=f"of {', '.join(SCOPES)} (default {DEFAULT_SCOPES})",
    )
    create.add_argument("--days", type=int, metavar="N", help="good that long")
    create.set_defaults(run=create_key)
    every = actions.add_parser("list", help="list keys, without their secrets")
    every.add_argument("--tenant", default="", metavar="NAME", help="of one tenant")
    every.set_defaults(run=list_keys)
    rotate = actions.add_parser("rotate", help="make a key in place of another")
    rotate.add_argument("id", help="12 hexadecimal digits of the key: tg_<id>_...")
    rotate.add_argument(
        "--grace-hours",
        type=int,
        default=24,
        metavar="N",
        help="how long the other one stays good (default 24)",
    )
    rotate.set_defaults(run=rotate_key)
    revoke = actions.add_parser("revoke", help="end a key at once")
    revoke.add_argument("id", help="12 hexadecimal digits of the key")
    revoke.set_defaults(run=revoke_key)


def create_key(options: argparse.Namespace) -> int:
    """Make a key; its text goes to standard output, and nowhere else ever."""
    expires_at = None
    if options.days is not None:
        if not 0 < options.days <= MAX_DAYS:
            raise InputError(f"--days: expected 1 to {MAX_DAYS}, not {options.days}")
        expires_at = datetime.now(UTC) + timedelta(days=options.days)
    with _opened() as keys:
        scopes = parse_scopes(options.scopes.split(","))
        made = keys.create(options.tenant, options.name, scopes, expires_at=expires_at)
    _hand_over(*made)
    return 0


def list_keys(options: argparse.Namespace) -> int:
    """Print a line for each key, below one of headings; tabs between columns."""
    with _opened() as keys:
        found = keys.every(options.tenant)
    sys.stdout.write("\t".join(COLUMNS) + "\n")
    for key in found:
        state = "ended" if key.ended(datetime.now(UTC)) else "good"
        until = key.expires_at or "for ever"
        used = key.last_used_at or "never"
        words = (key.id, key.tenant, ",".join(sorted(key.scopes)), state, until, used)
        sys.stdout.write("\t".join((*words, key.name)) + "\n")
    return 0


def rotate_key(options: argparse.Namespace) -> int:
    """Make a key like another one; print it once."""
    hours = options.grace_hours
    if not 0 <= hours <= 24 * MAX_DAYS:
        raise InputError(f"--grace-hours: expected 0 or more, not {hours}")
    with _opened() as keys:
        made = keys.rotate(options.id, grace=timedelta(hours=hours))
    _hand_over(*made)
    return 0


def revoke_key(options: argparse.Namespace) -> int:
    """End a key at once."""
    with _opened() as keys:
        keys.revoke(options.id)
    return 0


def _hand_over(key: "ApiKey", text: str) -> None:
    sys.stderr.write(f"key {key.id} of tenant {key.tenant}; it is shown this once:\n")
    sys.stdout.write(f"{text}\n")


@contextmanager
def _opened() -> Iterator["Keys"]:
    from service.jobs.backend import open_backend
    from service.settings import load_settings

    backend = open_backend(load_settings())
    try:
        yield backend.keys
    finally:
        backend.close()
