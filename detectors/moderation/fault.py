"""Fault: what went wrong with a request, and whether to try again, split or give up."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from math import isfinite
from typing import Final

from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

FATAL: Final = frozenset({401, 402, 403, 404, 405, 410})
"""The settings are wrong: no other request would fare better."""
SPLIT: Final = frozenset({400, 413, 422})
"""One text may be what is refused: the others are asked about apart."""
AGAIN: Final = frozenset({408, 409, 425, 429})
CODE: Final = re.compile(r"[a-z0-9_]{1,60}")


@dataclass(frozen=True, slots=True)
class Fault:
    """`reason` holds no text of the server's: it may repeat rows or the key.

    `wait` is what the server asked for, in seconds, None where it did not. Where texts
    were `refused` the provider works: another text may be judged.
    """

    reason: str
    again: bool = False
    split: bool = False
    fatal: bool = False
    refused: bool = False
    wait: float | None = None


def fault_of(error: OpenAIError) -> Fault:
    """Judge an error of the SDK."""
    if isinstance(error, APITimeoutError):
        return Fault("the provider did not answer in time", again=True)
    if isinstance(error, APIConnectionError):
        return Fault("the provider cannot be reached", again=True)
    if isinstance(error, APIStatusError):
        return _of_status(error)
    return Fault("the provider's client failed")


def _of_status(error: APIStatusError) -> Fault:
    status, code = error.status_code, (error.code or "").lower()
    named = f" ({code})" if CODE.fullmatch(code) else ""
    reason = f"the provider answered {status}{named}"
    if 300 <= status < 400:
        return Fault(f"{reason}: it redirects, which is not followed", fatal=True)
    if status in FATAL or code == "insufficient_quota":
        return Fault(f"{reason}: check address, key, model and quota", fatal=True)
    again = status in AGAIN or status >= 500
    wait = retry_after(error.response.headers) if again else None
    refused = status in SPLIT
    return Fault(reason, again=again, split=refused, refused=refused, wait=wait)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that a response asks for, None where it does not.

    Retry-After holds seconds or a date (RFC 9110, 10.2.3); retry-after-ms is OpenAI's.
    """
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        return seconds if isfinite(seconds) and seconds >= 0 else None
    date = parsedate_tz(headers.get("retry-after", ""))
    if date is None:
        return None
    try:
        left = mktime_tz(date) - time.time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, float(left))
