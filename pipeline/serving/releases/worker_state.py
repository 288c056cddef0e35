"""The state of each running worker, in a file, for the commands that wait for workers.

    models/releases/running/<host>-<pid>.json

A worker touches its file at every poll, so an old file belongs to a worker that was killed.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contracts.errors import DeploymentError

WORKERS = "running"
ALIVE_SECONDS = 15.0
PAUSE_SECONDS = 0.05


class WorkerState(BaseModel):
    """What one worker serves.

    Attributes:
        change: The number of the last pointer change that the worker followed.
        champion: The champion's version.
        canary: The canary's version.
        trial: The canary's counts, in words.
        shadow: The shadow's version.
        refused: The reason by version, for the versions that the worker cannot load.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    change: int
    champion: str
    canary: str | None = None
    trial: str | None = None
    shadow: str | None = None
    refused: dict[str, str] = {}


def state_path(folder: Path) -> Path:
    """Return the path of this process's state file."""
    return folder / WORKERS / f"{socket.gethostname()}-{os.getpid()}.json"


def write_state(state: WorkerState, folder: Path) -> None:
    """Write this process's state file atomically; it need not survive a power cut."""
    path = state_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def touch_state(folder: Path) -> None:
    """Mark this process as alive."""
    os.utime(state_path(folder))


def remove_state(folder: Path) -> None:
    """Delete this process's state file, and those of workers that were killed."""
    state_path(folder).unlink(missing_ok=True)
    for path in (folder / WORKERS).glob("*.json"):
        if not _is_fresh(path):
            path.unlink(missing_ok=True)


def read_workers(folder: Path) -> dict[str, WorkerState]:
    """Return the state of every living worker, by host and process id."""
    workers: dict[str, WorkerState] = {}
    for path in sorted((folder / WORKERS).glob("*.json")):
        if _is_fresh(path):
            # A file that was deleted meanwhile, or is of another version of this code, is skipped.
            with suppress(OSError, ValidationError):
                workers[path.stem] = WorkerState.model_validate_json(path.read_bytes())
    return workers


def _is_fresh(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) < ALIVE_SECONDS
    except OSError:
        return False


def wait_until_followed(
    folder: Path, change: int, version: str | None, *, timeout_seconds: float
) -> float | None:
    """Return the seconds until all running workers followed a change, or None if none runs.

    Args:
        folder: The folder of releases.
        change: The pointer's change number.
        version: The version that the change starts, or None if it only ends a trial.
        timeout_seconds: Maximum wait.

    Raises:
        DeploymentError: A worker refuses the version, or does not follow in time.
    """
    started = time.monotonic()
    while workers := read_workers(folder):
        behind = [name for name, state in workers.items() if state.change < change]
        states = workers.values()
        refused = [state.refused[version] for state in states if version in state.refused]
        if not behind:
            if refused:
                raise DeploymentError(
                    f"the running service to load {version}",
                    received=f"a refusal: {refused[0].rstrip('.')}",
                    action="The old version still serves. Repair the bundle, or go back: "
                    "`uv run python -m pipeline.serving rollback`.",
                )
            return time.monotonic() - started
        if time.monotonic() - started > timeout_seconds:
            raise DeploymentError(
                f"the running service to follow within {timeout_seconds:.0f} s",
                received=f"no report from {', '.join(behind)}",
                action="The old version still serves. See the service's log.",
            )
        time.sleep(PAUSE_SECONDS)
    return None
