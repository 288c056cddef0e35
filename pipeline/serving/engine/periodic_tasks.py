"""What the service does beside its requests, again and again, on one thread."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.event_store.errors import StoreError

PATIENCE = 5  # rounds until what failed is tried again

log = logging.getLogger("evergreen.serving")


@dataclass(frozen=True)
class PeriodicTask:
    """Something to be done every so many seconds.

    Attributes:
        what: Its name in the log.
        work: Does it; may raise StoreError.
        seconds: Between two times; what failed is tried again sooner if that is long.
    """

    what: str
    work: Callable[[], None]
    seconds: float


class PeriodicTasks:
    """A thread that does the chores."""

    def __init__(self, chores: Sequence[PeriodicTask]) -> None:
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
        round_seconds = min(chore.seconds for chore in self._chores)
        due = [0.0] * len(self._chores)
        while not self._stopping.wait(round_seconds):
            for number, chore in enumerate(self._chores):
                if time.monotonic() >= due[number]:
                    done = _done(chore)
                    pause = chore.seconds if done else PATIENCE * round_seconds
                    due[number] = time.monotonic() + pause


def _done(chore: PeriodicTask) -> bool:
    try:
        chore.work()
    except StoreError as error:
        log.warning("%s waits. %s", chore.what, error)
        return False
    except Exception:  # the other chores go on
        log.exception("%s failed.", chore.what)
        return False
    return True
