"""The release pointer: a small file that names the champion and the versions on trial.

    models/releases/release.json

`models/champion` remains the source of truth. The pointer names the version of models/champion
when it was written (`deployed`). After `uv run dvc repro` or `uv run dvc checkout` replaces that
version, the new one is the champion, and the pointer only names the version for a rollback.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.bundles.archive import RELEASES
from pipeline.contracts.artefacts import write_text
from pipeline.contracts.errors import ArtefactError

POINTER = "release.json"
LOCK = ".lock"

Version = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class PointerError(ArtefactError):
    """The pointer file is damaged."""


class _PointerPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Canary(_PointerPart):
    """The canary and its stop rules.

    Attributes:
        version: Version of the bundle.
        share: Fraction of users that it serves, above 0, at most 0.5.
        minimum_requests: Number of its answers between two interim tests.
        false_stop_probability: Probability, over all interim tests, that a version that is no worse
            is stopped.
        maximum_slowdown: Allowed ratio of its mean seconds per answer to the champion's.
    """

    version: Version
    share: float = Field(gt=0, le=0.5)
    minimum_requests: int = Field(ge=1)
    false_stop_probability: float = Field(gt=0, lt=1)
    maximum_slowdown: float = Field(ge=1)


class StoppedCanary(_PointerPart):
    """A canary that the service stopped."""

    version: Version
    reason: str
    at: str


class Pointer(_PointerPart):
    """The versions that serve.

    Attributes:
        change: A number that grows with every write; a worker reports the last one it followed.
        deployed: The version of models/champion when the pointer was written.
        champion: The version that serves all users but the canary's.
        previous: The previous champion, which `rollback` restores.
        shadow: The version that scores the same requests without serving users.
        canary: The version that serves a share of the users.
        stopped: The last canary that was stopped automatically.
    """

    change: int = Field(ge=0)
    deployed: Version
    champion: Version
    previous: Version | None = None
    shadow: Version | None = None
    canary: Canary | None = None
    stopped: StoppedCanary | None = None

    def advance(self, **update: Any) -> "Pointer":
        """Return the next pointer, with some fields replaced."""
        # More than change + 1: a running service may have followed a pointer that was deleted.
        change = max(self.change + 1, int(time.time()))
        return self.model_copy(update={**update, "change": change})

    def versions(self) -> set[str]:
        """Return all versions in use, and the previous champion."""
        versions = {self.deployed, self.champion, self.previous, self.shadow}
        versions |= {self.canary.version} if self.canary else set()
        return {version for version in versions if version is not None}


def read_pointer(folder: Path = RELEASES) -> Pointer | None:
    """Return the pointer in the file, or None if there is no file.

    Raises:
        PointerError: The file cannot be read or is not a valid pointer.
    """
    path = folder / POINTER
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        text = str(error) if isinstance(error, OSError) else _first_message(error)
        raise PointerError(
            f"a valid release pointer in '{path}'",
            received=text,
            action="Delete it to serve models/champion, or replace it by promoting a version: "
            "`uv run python -m pipeline.serving promote VERSION`.",
        ) from error


def _first_message(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg']}" if field else first["msg"]


def resolve_pointer(pointer: Pointer | None, deployed: str) -> Pointer:
    """Return the pointer that applies while models/champion has the version `deployed`.

    >>> resolve_pointer(None, "aaaaaaaaaaaa").champion
    'aaaaaaaaaaaa'
    >>> old = Pointer(change=4, deployed="aaaaaaaaaaaa", champion="cccccccccccc")
    >>> resolve_pointer(old, "aaaaaaaaaaaa").champion
    'cccccccccccc'
    >>> new = resolve_pointer(old, "bbbbbbbbbbbb")
    >>> new.champion, new.previous
    ('bbbbbbbbbbbb', 'cccccccccccc')
    """
    if pointer is None:
        return Pointer(change=0, deployed=deployed, champion=deployed)
    if pointer.deployed == deployed:
        return pointer
    previous = pointer.champion if pointer.champion != deployed else pointer.previous
    return Pointer(change=pointer.change, deployed=deployed, champion=deployed, previous=previous)


def write_pointer(pointer: Pointer, folder: Path = RELEASES) -> None:
    """Write the pointer atomically."""
    write_text(pointer.model_dump_json(indent=2, exclude_none=True) + "\n", folder / POINTER)


@contextmanager
def lock(folder: Path = RELEASES) -> Iterator[None]:
    """Hold the lock on the pointer and the archive; a killed process releases it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
