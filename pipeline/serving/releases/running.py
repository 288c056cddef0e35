"""What the running services say about themselves, for the commands that wait for them.

    models/releases/running/<host>-<pid>.json

A service touches its file at every look, so that a killed one is known by an old file.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contracts.errors import DeploymentError

RUNNING = "running"
ALIVE_SECONDS = 15.0
PAUSE_SECONDS = 0.05


class Running(BaseModel):
    """One worker of a service.

    Attributes:
        change: The last change of the pointer that it followed.
        champion: The version that answers.
        canary: The version on trial, and `trial` how it stands.
        shadow: The version in the shadow.
        refused: Versions that should answer and cannot, with the reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    change: int
    champion: str
    canary: str | None = None
    trial: str | None = None
    shadow: str | None = None
    refused: dict[str, str] = {}


def own_path(folder: Path) -> Path:
    """Return where this process says what it answers with."""
    return folder / RUNNING / f"{socket.gethostname()}-{os.getpid()}.json"


def say(running: Running, folder: Path) -> None:
    """Write down what this process answers with; whole, but it need not survive a power cut."""
    path = own_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(running.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def still_there(folder: Path) -> None:
    """Show that this process still runs."""
    os.utime(own_path(folder))


def gone(folder: Path) -> None:
    """Take this process's file away, and those of services that were killed."""
    own_path(folder).unlink(missing_ok=True)
    for path in (folder / RUNNING).glob("*.json"):
        if not _is_fresh(path):
            path.unlink(missing_ok=True)


def running(folder: Path) -> dict[str, Running]:
    """Return what every living worker says, by host and process id."""
    found: dict[str, Running] = {}
    for path in sorted((folder / RUNNING).glob("*.json")):
        if _is_fresh(path):
            # Gone since it was listed, or of another release of this code: it does not count.
            with suppress(OSError, ValidationError):
                found[path.stem] = Running.model_validate_json(path.read_bytes())
    return found


def _is_fresh(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) < ALIVE_SECONDS
    except OSError:
        return False


def wait_until_followed(
    folder: Path, change: int, version: str | None, *, timeout_seconds: float
) -> float | None:
    """Return the seconds until all running services followed a change, None if none runs.

    Args:
        folder: Of the releases.
        change: The pointer's.
        version: What the change is about; None if it only ends something.
        timeout_seconds: How long to wait.

    Raises:
        DeploymentError: One refuses the version, or does not follow in time.
    """
    started = time.monotonic()
    while workers := running(folder):
        behind = [name for name, each in workers.items() if each.change < change]
        refused = [each.refused[version] for each in workers.values() if version in each.refused]
        if not behind:
            if refused:
                raise DeploymentError(
                    "the running service to answer with it",
                    received=f"a refusal, it answers as before: {refused[0].rstrip('.')}",
                    action="Mend what is named, or go back: "
                    "`uv run python -m pipeline.serving rollback`.",
                )
            return time.monotonic() - started
        if time.monotonic() - started > timeout_seconds:
            raise DeploymentError(
                f"the running service to follow within {timeout_seconds:.0f} s",
                received=f"no sign of it from {', '.join(behind)}",
                action="See its log; it answers as before, and follows when it can.",
            )
        time.sleep(PAUSE_SECONDS)
    return None
