"""`tunegate certificate`: check a certificate without the service; print the key."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectors.errors import InputError

if TYPE_CHECKING:
    from service.envelope import Signer


def add_certificate_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    certificate = commands.add_parser(
        "certificate", help="verify certificates, print the key they are verified with"
    )
    actions = certificate.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="check who signed a certificate; 1 where the key did not",
        description="Prints what is certified, as JSON. It was signed by that key and "
        "is unchanged; whether it is about your dataset, its sha256 says.",
    )
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument(
        "--key", type=Path, required=True, metavar="PUBLIC.pem", help="public key"
    )
    verify.set_defaults(run=verify_certificate)
    key = actions.add_parser("key", help="print the public key of the setting's key")
    key.set_defaults(run=print_key)


def verify_certificate(options: argparse.Namespace) -> int:
    """Print the statement of a certificate that the key signed; else Unverified."""
    from service.certificate import check_certificate
    from service.envelope import Unverified, key_id, load_public

    public = load_public(_read(options.key))
    try:
        said = check_certificate(_read(options.file), public)
    except Unverified as error:
        raise Unverified(f"{options.file}: not verified: {error}") from error
    sys.stderr.write(f"signed by {key_id(public)}\n")
    sys.stdout.write(json.dumps(said, indent=2) + "\n")
    return 0


def print_key(options: argparse.Namespace) -> int:
    """Print the public key as PEM, and its id on standard error."""
    from service.envelope import public_pem

    signer = _signer()
    sys.stderr.write(f"key {signer.id}\n")
    sys.stdout.write(public_pem(signer.public))
    return 0


def _signer() -> "Signer":
    from service.envelope import load_signer
    from service.settings import load_settings

    found = load_signer(load_settings().certificate_key.get_secret_value())
    if found is None:
        raise InputError("setting TUNEGATE_CERTIFICATE_KEY is not set")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
