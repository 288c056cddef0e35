"""The pointer: one small file that says which bundle answers, and which are on trial.

    models/releases/release.json

`models/champion` stays the source of truth. The pointer names the version that it was written
against (`deployed`); as soon as models/champion holds another one, by `uv run dvc repro` or
`uv run dvc checkout`, that one is the champion and the pointer only says where to go back to.
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
    """A version that answers a share of the shoppers, and when it is stopped.

    Attributes:
        version: Which bundle.
        share: The fraction of shoppers who get it.
        minimum_requests: Its answers between two looks at the numbers.
        false_stop_probability: How likely a version that is no worse is stopped, over all looks.
        maximum_slowdown: Mean seconds per answer may be this multiple of the champion's.
    """

    version: Version
    share: float = Field(gt=0, le=0.5)
    minimum_requests: int = Field(ge=1)
    false_stop_probability: float = Field(gt=0, lt=1)
    maximum_slowdown: float = Field(ge=1)


class Stopped(_PointerPart):
    """A canary that was stopped because of what it did."""

    version: Version
    reason: str
    at: str


class Pointer(_PointerPart):
    """What answers.

    Attributes:
        change: Grows with every write, so that one can tell whether a service has seen it.
        deployed: The version of models/champion when this was written.
        champion: The version that answers.
        previous: The one before it: where `rollback` goes.
        shadow: The version that scores the same requests without being shown.
        canary: The version that answers a share of the shoppers.
        stopped: The last canary that was stopped automatically.
    """

    change: int = Field(ge=0)
    deployed: Version
    champion: Version
    previous: Version | None = None
    shadow: Version | None = None
    canary: Canary | None = None
    stopped: Stopped | None = None

    def changed(self, **update: Any) -> "Pointer":
        """Return the next pointer, which differs in these fields."""
        # Not only 1 more: a service that runs may have seen a pointer that was deleted since.
        change = max(self.change + 1, int(time.time()))
        return self.model_copy(update={**update, "change": change})

    def versions(self) -> set[str]:
        """Return all versions that are in use or that one can go back to."""
        named = {self.deployed, self.champion, self.previous, self.shadow}
        named |= {self.canary.version} if self.canary else set()
        return {version for version in named if version is not None}


def read_pointer(folder: Path = RELEASES) -> Pointer | None:
    """Return what the pointer file says, None without one.

    Raises:
        PointerError: It is not a whole pointer.
    """
    path = folder / POINTER
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        text = str(error) if isinstance(error, OSError) else _first(error)
        raise PointerError(
            f"a whole pointer in '{path}'",
            received=text,
            action="Delete it to serve models/champion, or write it anew by promoting a version: "
            "`uv run python -m pipeline.serving promote VERSION`.",
        ) from error


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    place = ".".join(str(part) for part in found["loc"])
    return f"{place}: {found['msg']}" if place else found["msg"]


def in_force(found: Pointer | None, deployed: str) -> Pointer:
    """Return what holds while models/champion has the version `deployed`.

    >>> in_force(None, "aaaaaaaaaaaa").champion
    'aaaaaaaaaaaa'
    >>> old = Pointer(change=4, deployed="aaaaaaaaaaaa", champion="cccccccccccc")
    >>> in_force(old, "aaaaaaaaaaaa").champion
    'cccccccccccc'
    >>> new = in_force(old, "bbbbbbbbbbbb")
    >>> new.champion, new.previous
    ('bbbbbbbbbbbb', 'cccccccccccc')
    """
    if found is None:
        return Pointer(change=0, deployed=deployed, champion=deployed)
    if found.deployed == deployed:
        return found
    previous = found.champion if found.champion != deployed else found.previous
    return Pointer(change=found.change, deployed=deployed, champion=deployed, previous=previous)


def write_pointer(pointer: Pointer, folder: Path = RELEASES) -> None:
    """Write the pointer, whole or not at all."""
    write_text(pointer.model_dump_json(indent=2, exclude_none=True) + "\n", folder / POINTER)


@contextmanager
def lock(folder: Path = RELEASES) -> Iterator[None]:
    """Let one process at a time read the pointer and write it; a killed one lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
