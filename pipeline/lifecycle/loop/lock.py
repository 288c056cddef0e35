"""One loop at a time: a file lock that ends with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.lifecycle.errors import LoopError
from pipeline.lifecycle.ledger.ledger_file import FOLDER

LOCK = FOLDER / ".lock"
WATCH_LOCK = FOLDER / ".watch.lock"


@contextmanager
def hold_lock(path: Path = LOCK) -> Iterator[int]:
    """Hold the lock, and yield its file descriptor.

    A child process that inherits the descriptor holds the lock too: a `dvc repro` that outlives a
    killed loop keeps the next loop from starting beside it.

    Raises:
        LoopError: Another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise LoopError(
                f"no other loop at work here ('{path}')",
                received=f"process {holder}, or the `uv run dvc repro` that it started",
                action="Wait until it ends, or stop it.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
