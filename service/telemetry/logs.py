"""Logs: one line an event, as text or JSON, with the ids of request and screening.

What a library raises can quote rows: of an exception only its type and where it was
raised are written, never its words.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

from service.settings import Settings
from service.telemetry.origin import origin
from service.telemetry.tracing import trace_id
from service.text import printable

MESSAGE_CHARS: Final = 2_000
OWN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "dbos")
"""Loggers that bring handlers of their own, unless they have one."""


class Formatter(logging.Formatter):
    """Text: time, level, logger, words, and the ids that are known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        facts = self.facts(record)
        head = [str(facts.pop(name)) for name in ("time", "level", "logger", "message")]
        frames = facts.pop("frames", None)
        tail = [f"{name}={value}" for name, value in facts.items()]
        return "\n".join(filter(None, [" ".join([*head, *tail]), frames]))

    def facts(self, record: logging.LogRecord) -> dict[str, str]:
        """Return what is written of a record."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage(), MESSAGE_CHARS),
            **origin(),
        }
        said.pop("traceparent", None)
        if trace := trace_id():
            said["trace_id"] = trace
        extra = getattr(record, "facts", None)
        if isinstance(extra, dict):
            said |= {str(k): printable(str(v), 200) for k, v in extra.items()}
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trail = record.exc_info
            said["error"] = kind.__name__
            said["frames"] = "".join(traceback.format_tb(trail))
        return said


class JsonFormatter(Formatter):
    """JSON: one object a line, ASCII, so that no line can be forged."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return json.dumps(self.facts(record))


FORMATS: Final[dict[str, Callable[[], Formatter]]] = {
    "text": Formatter,
    "json": JsonFormatter,
}


def set_up_logs(settings: Settings, stream: TextIO | None = None) -> None:
    """Have every logger of this process write as the settings say, to one stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(FORMATS[settings.log_format]())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in OWN:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
    logging.getLogger("uvicorn.access").disabled = True  # we write our own
    for name in ("httpx", "httpx2", "httpcore", "opentelemetry", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they name URLs
