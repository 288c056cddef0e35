"""Periodic background tasks of the service, on one thread."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.event_store.errors import StoreError

RETRY_ROUNDS = 5  # rounds until a failed task is tried again

log = logging.getLogger("evergreen.serving")


@dataclass(frozen=True)
class PeriodicTask:
    """A function that is called at an interval.

    Attributes:
        name: Name in the log.
        work: The function; may raise StoreError.
        seconds: Interval; a failed task is retried sooner if the interval is long.
    """

    name: str
    work: Callable[[], None]
    seconds: float


class PeriodicTasks:
    """A thread that runs periodic tasks."""

    def __init__(self, tasks: Sequence[PeriodicTask]) -> None:
        """Start the thread; the first round starts after the shortest interval."""
        self._tasks = tasks
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="periodic-tasks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the running task and stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        round_seconds = min(task.seconds for task in self._tasks)
        due = [0.0] * len(self._tasks)
        while not self._stopping.wait(round_seconds):
            for number, task in enumerate(self._tasks):
                if time.monotonic() >= due[number]:
                    succeeded = _run_task(task)
                    pause = task.seconds if succeeded else RETRY_ROUNDS * round_seconds
                    due[number] = time.monotonic() + pause


def _run_task(task: PeriodicTask) -> bool:
    """Run a task once; return whether it succeeded."""
    try:
        task.work()
    except StoreError as error:
        log.warning("%s will be retried. %s", task.name, error)
        return False
    except Exception:  # the other tasks go on
        log.exception("%s failed.", task.name)
        return False
    return True
