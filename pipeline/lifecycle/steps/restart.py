"""Restart the service on this machine: end its workers one by one; BentoML starts new ones.

The workers that follow models/releases report their process ids in models/releases/running. The
supervisor holds the socket, so requests wait while its only worker starts.
"""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from pipeline.lifecycle.errors import RefusedStepError

PROGRAM = "bentoml"
PAUSE_SECONDS = 0.1


def find_workers() -> tuple[int, ...]:
    """Return the process ids of the service's workers on this machine.

    Raises:
        RefusedStepError: No worker runs here.
    """
    workers = _read_workers()
    if not workers:
        raise RefusedStepError(
            "a running service on this machine that follows models/releases",
            received="none",
            action="Restart the service where it runs, or start it: `make serve`.",
        )
    return workers


def replace_workers(workers: Sequence[int], timeout_seconds: float) -> None:
    """End the workers one by one, each after the one before has been replaced.

    Args:
        workers: Process ids.
        timeout_seconds: Maximum time until a new worker reports.

    Raises:
        RefusedStepError: No new worker reports in time.
    """
    for worker in workers:
        before = set(_read_workers())
        with suppress(psutil.NoSuchProcess):
            psutil.Process(worker).terminate()
        deadline = time.monotonic() + timeout_seconds
        while not set(_read_workers()) - before:
            if time.monotonic() > deadline:
                raise RefusedStepError(
                    f"a new worker within {timeout_seconds:.0f} s of the end of worker {worker}",
                    received="none",
                    action="See the service's log, and restart it: `make serve`.",
                )
            time.sleep(PAUSE_SECONDS)


def is_any_alive(workers: Sequence[int]) -> bool:
    """Return whether one of the workers still runs."""
    return bool(set(workers) & set(_read_workers()))


def _read_workers() -> tuple[int, ...]:
    from pipeline.serving.commands.common import locate_release_store
    from pipeline.serving.releases.worker_state import read_workers

    names = [name.rsplit("-", 1) for name in read_workers(locate_release_store().folder)]
    pids = [int(pid) for host, pid in names if host == socket.gethostname()]
    return tuple(pid for pid in pids if _is_worker(pid))


def _is_worker(pid: int) -> bool:
    """Return whether a process is alive and BentoML's: ids of dead processes are used again."""
    try:
        process = psutil.Process(pid)
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and any(PROGRAM in argument for argument in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
