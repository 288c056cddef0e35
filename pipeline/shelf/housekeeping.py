"""What the service does beside its requests, again and again, on one thread."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.event_store.errors import StoreError

log = logging.getLogger("evergreen.serving")


@dataclass(frozen=True)
class Chore:
    """Something to be done every so many seconds.

    Attributes:
        what: Its name in the log.
        work: Does it; may raise StoreError.
        seconds: Between two times; what failed is tried again in the next round.
    """

    what: str
    work: Callable[[], None]
    seconds: float


class Housekeeping:
    """A thread that does the chores."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        """Start the thread; the first round begins when the most frequent chore's time is over."""
        self._chores = chores
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what has begun is finished."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        due = dict.fromkeys(range(len(self._chores)), 0.0)
        while not self._stopping.wait(min(chore.seconds for chore in self._chores)):
            for number, chore in enumerate(self._chores):
                if time.monotonic() < due[number]:
                    continue
                try:
                    chore.work()
                    due[number] = time.monotonic() + chore.seconds
                except StoreError as error:
                    log.warning("%s waits. %s", chore.what, error)
