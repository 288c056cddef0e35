"""Log lines: readable ones for a terminal, or one JSON object each for a log collector.

Design choices:

- A line that is written while a request is answered carries the request's id.
- Of an error that nobody foresaw, a line has the type and the places in the code, not the message:
  a message such as that of a KeyError may be a shopper's id. Our own errors have written texts.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, cast, get_args

from pipeline.contracts.errors import EvergreenError
from pipeline.serving.observability.current import CURRENT

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
# What BentoML lets speak, each with a handler of its own.
SPEAKERS = ("", "bentoml", "uvicorn.error", "circus")
FIELDS = "fields"
LIBRARIES = ("httpx", "httpcore", "urllib3", "asyncio")

LEVEL = "EVERGREEN_LOG_LEVEL"


class LogLevelError(EvergreenError):
    """The environment names a level that there is not."""


Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Discreet(logging.Formatter):
    """Writes of an unforeseen error what it is and where, not what it says."""

    def formatException(self, ei: Raised) -> str:  # noqa: N802  the library's name
        """Return the frames and the type."""
        kind, error, trace = ei
        if kind is None:
            return ""
        lines = [f"{f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(trace)]
        said = str(error) if isinstance(error, EvergreenError) else "(its text is not logged)"
        return "\n".join([*(f"  {line}" for line in lines), f"{kind.__name__}: {said}"])


class TextFormatter(Discreet):
    """One readable line."""

    def __init__(self) -> None:
        """Set the layout."""
        super().__init__("%(asctime)s %(levelname)s %(message)s%(request)s", "%Y-%m-%dT%H:%M:%S%z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the library's name
        """Return the line, with the request's id at its end."""
        current = CURRENT.get()
        record.request = f" [{current.request_id}]" if current else ""
        return super().formatMessage(record)


class JsonFormatter(Discreet):
    """One JSON object: time (UTC), level, logger, message, request_id, error, and more fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object on one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        current = CURRENT.get()
        if current is not None:
            line["request_id"] = current.request_id
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def level_of(environment: Mapping[str, str], default: LogLevel) -> LogLevel:
    """Return the level in EVERGREEN_LOG_LEVEL, else `default`.

    Raises:
        LogLevelError: It is not a level.
    """
    found = environment.get(LEVEL, default).lower()
    for level in get_args(LogLevel):
        if found == level:
            return cast("LogLevel", found)
    raise LogLevelError(
        f"{LEVEL} to be one of {', '.join(get_args(LogLevel))}",
        received=found,
        action="Correct it, or leave it out.",
    )


def configure_logs(style: LogFormat, level: LogLevel) -> None:
    """Set how the service's process writes its log, and from which level our own lines."""
    formatter = JsonFormatter() if style == "json" else TextFormatter()
    for name in SPEAKERS:
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(formatter)
    logging.getLogger("evergreen").setLevel(level.upper())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
