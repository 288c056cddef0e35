"""The audit log: administrative actions and denied requests, as appended JSON lines.

Every administrative action is written. Denied requests are limited per second so that a flood does
not fill the disk; the next line gives the number left out. The metrics count all.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pipeline.serving.observability.metrics import metrics
from pipeline.serving.security.rate_limit import RateLimit

PRIVATE = 0o600
DENIED_PER_SECOND = 10.0
WARNING_SECONDS = 10.0

log = logging.getLogger("evergreen.access")


class Audit:
    """Appends to one file, which it opens for each line, so that the file may be moved."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `path`; the first line creates its folder."""
        self._path = path
        self._clock = clock
        self._limit = RateLimit(DENIED_PER_SECOND, clock=clock)
        self._left_out = 0
        self._warned_at = -WARNING_SECONDS

    def write(self, event: str, **facts: str | float | None) -> None:
        """Append a line with the time, the event and the facts that are not None.

        A line that cannot be written is counted and logged; no error is raised.

        Args:
            event: Name of the event, such as key_created.
            facts: Values to write: no secrets, and users only by pseudonym.
        """
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        present = {name: value for name, value in facts.items() if value is not None}
        line = json.dumps({"time": timestamp, "event": event, **present}, ensure_ascii=False) + "\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
        except OSError as error:
            metrics().audit_errors.inc()
            self._warn(f"The audit log cannot be written: {type(error).__name__}: {error}")

    def write_denied(self, **facts: str | float | None) -> None:
        """Append a line about a denied request, unless the limit per second is reached."""
        if self._limit.take("denied"):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        self.write("denied", **facts, left_out_before=left_out or None)

    def _warn(self, message: str) -> None:
        now = self._clock()
        if now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            log.warning(message)
