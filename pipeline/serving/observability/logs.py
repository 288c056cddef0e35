"""Log formats: readable lines for a terminal, or one JSON object per line for a log collector.

Design choices:

- A line that is written during a request carries the request id.
- For an unexpected error, a line gives the type and the stack, not the message: the message of a
  KeyError, for example, may be a user's id. The messages of our own errors are safe.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, cast, get_args

from pipeline.contracts.errors import EvergreenError
from pipeline.serving.observability.current_request import CURRENT

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
# The loggers to which BentoML attaches handlers.
LOGGERS = ("", "bentoml", "uvicorn.error", "circus")
FIELDS = "fields"
LIBRARIES = ("httpx", "httpcore", "urllib3", "asyncio")

LEVEL = "EVERGREEN_LOG_LEVEL"


class LogLevelError(EvergreenError):
    """The environment variable names an unknown log level."""


ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class PrivateFormatter(logging.Formatter):
    """Formats an unexpected error without its message."""

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802  the library's name
        """Return the frames and the type of an error, and the message of our own."""
        kind, error, trace = ei
        if kind is None:
            return ""
        lines = [f"{f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(trace)]
        text = str(error) if isinstance(error, EvergreenError) else "(message not logged)"
        return "\n".join([*(f"  {line}" for line in lines), f"{kind.__name__}: {text}"])


class TextFormatter(PrivateFormatter):
    """Formats a record as a readable line."""

    def __init__(self) -> None:
        """Set the layout."""
        super().__init__("%(asctime)s %(levelname)s %(message)s%(request)s", "%Y-%m-%dT%H:%M:%S%z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the library's name
        """Return the line, followed by the request id."""
        current = CURRENT.get()
        record.request = f" [{current.request_id}]" if current else ""
        return super().formatMessage(record)


class JsonFormatter(PrivateFormatter):
    """Formats a record as JSON: time (UTC), level, logger, message, request_id, error, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON object on one line."""
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


def read_level(environment: Mapping[str, str], default: LogLevel) -> LogLevel:
    """Return the level in EVERGREEN_LOG_LEVEL, else `default`.

    Raises:
        LogLevelError: The value is not a level.
    """
    name = environment.get(LEVEL, default).lower()
    for level in get_args(LogLevel):
        if name == level:
            return cast("LogLevel", name)
    raise LogLevelError(
        f"{LEVEL} to be one of {', '.join(get_args(LogLevel))}",
        received=name,
        action=f"Correct or unset {LEVEL}.",
    )


def configure_logs(style: LogFormat, level: LogLevel) -> None:
    """Set the log format of this process, and the level of our own loggers."""
    formatter = JsonFormatter() if style == "json" else TextFormatter()
    for name in LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(formatter)
    logging.getLogger("evergreen").setLevel(level.upper())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
