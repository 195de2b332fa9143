"""Logs: one line a record, as text or as JSON, with the request's and the job's id.

Whatever looks like a token is masked in the line as it goes out, tracebacks included, whoever
wrote it there.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from .. import context

if TYPE_CHECKING:
    from ..settings.operators import LogFormat, LogLevel

# The start of a token is enough to find it by, and a part of one is masked as well.
_TOKEN = re.compile(r"sg_[A-Za-z0-9_-]{6,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MASKED = "sg_***"
_QUIET = ("alembic", "botocore", "urllib3")


def configure(form: LogFormat, level: LogLevel, stream: IO[str] | None = None) -> None:
    """Have all of this process's logs go to `stream`, standard error when not given."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def mask(text: str) -> str:
    """The text, without what looks like a token."""
    return _TOKEN.sub(_MASKED, text)


class TextFormatter(logging.Formatter):
    """A line for people: the message, then what else is known, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, without a traceback."""
        known = {**_fields(record), **_ids()}
        shown = "".join(f" {name}={value}" for name, value in known.items() if value is not None)
        line = super().formatMessage(record) + shown
        # What a client sent may be in it, and must not look like another line.
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], line)

    def format(self, record: logging.LogRecord) -> str:
        """The whole of it, masked."""
        return mask(super().format(record))


class JsonFormatter(logging.Formatter):
    """An object a line: `time`, `level`, `logger`, `message`, the ids, and what the record adds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, masked."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(),
            **_fields(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        known = {name: value for name, value in line.items() if value is not None}
        return mask(json.dumps(known, default=str))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What `extra={"fields": …}` adds to a record."""
    return getattr(record, "fields", {})


def _ids() -> dict[str, str | None]:
    current = context.request()
    return {"request_id": current.id if current else None, "job_id": context.job_id()}
