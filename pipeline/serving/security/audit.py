"""The audit log: who did what to the service, or was not let in. JSON lines, only ever appended.

What an administrator did is always written. Of denied requests at most some per second are, and
the next line says how many were left out: a flood must not fill the disk. The metrics count all.
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
    """Appends to one file; opened for each line, so that it can be moved away at any time."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `path`; its folder is made when it is needed."""
        self._path = path
        self._clock = clock
        self._limit = RateLimit(DENIED_PER_SECOND, clock=clock)
        self._left_out = 0
        self._warned = -WARNING_SECONDS

    def write(self, event: str, **facts: str | float | None) -> None:
        """Append a line: the time, the event and the facts; those that are None are left out.

        A line that cannot be written is counted and said in the log: the service goes on.

        Args:
            event: What happened, such as key_created.
            facts: Never a secret, and a shopper only by pseudonym.
        """
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {name: value for name, value in facts.items() if value is not None}
        line = json.dumps({"time": moment, "event": event, **known}, ensure_ascii=False) + "\n"
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

    def denied(self, **facts: str | float | None) -> None:
        """Append a line on a request that was not let in, unless there are too many."""
        if self._limit.take("denied"):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        self.write("denied", **facts, left_out_before=left_out or None)

    def _warn(self, message: str) -> None:
        now = self._clock()
        if now - self._warned >= WARNING_SECONDS:
            self._warned = now
            log.warning(message)
