"""The errors that Evergreen raises on purpose.

    EvergreenError                what went wrong, in words for the person who must mend it
    ├── ParamsError               params.yaml holds an unknown key or an impossible value
    ├── SourceError               the retailer's data cannot be read, or misses what it must have
    ├── SchemaError               a table does not have the columns or types of its schema
    ├── DataQualityError          too much of the data breaks its expectations
    ├── ArtefactError             a file between stages is missing or damaged
    │   └── BundleError           a model bundle is incomplete, altered or made for something else
    ├── TrainingError             a model cannot be fitted on what it was given
    ├── RequestError              a request to a model or to the endpoint makes no sense
    │   └── NotFoundError         a request names something that is not there
    ├── DeploymentError           the built service does not do what the plan asks of it
    ├── NotViableError            the plan says that going on is not worth it
    └── GateError                 a verdict keeps a stage from starting, or cannot be accepted

Every message reads `Expected …, got …. …`: what was expected, what came, and what to do. A command
in it stands between backticks and begins with `make` or `uv run`; it works as it is shown, in a
plain shell in the project's root.
"""

import os
import shutil
from pathlib import Path

UV_OF_MAKE = Path(".uv/bin/uv")


def as_typed(text: str) -> str:
    """Return `text` with its `uv …` commands as they must be typed on this machine.

    Where uv was missing, `make` put it in a folder of the project, which only `make` has on its
    PATH.
    """
    own = UV_OF_MAKE.parent.resolve()
    folders = os.environ.get("PATH", "").split(os.pathsep)
    others = os.pathsep.join(name for name in folders if name and Path(name).resolve() != own)
    if shutil.which("uv", path=others) or not UV_OF_MAKE.exists():
        return text
    return text.replace("`uv ", f"`{UV_OF_MAKE} ")


class EvergreenError(Exception):
    """What was expected, what came, and what to do about it.

    >>> str(EvergreenError("a port", received="'x'", action="Give a number."))
    "Expected a port, got 'x'. Give a number."
    """

    def __init__(self, expected: str, *, received: str, action: str) -> None:
        """Build the message.

        Args:
            expected: What the program needed: a noun phrase that goes on after "Expected".
            received: What it got instead: goes on after "got".
            action: What the reader should do now, as sentences.
        """
        self.expected = expected
        self.received = received
        self.action = as_typed(action)
        super().__init__(f"Expected {expected}, got {received}. {self.action}")


class ParamsError(EvergreenError):
    """params.yaml holds an unknown key, a wrong type or an impossible value."""


class SourceError(EvergreenError):
    """The retailer's data cannot be read, or misses what it must have."""


class SchemaError(EvergreenError):
    """A table does not have the columns or types of its schema."""


class DataQualityError(EvergreenError):
    """Too much of the data breaks its expectations."""


class ArtefactError(EvergreenError):
    """A file between stages is missing or damaged."""


class BundleError(ArtefactError):
    """A model bundle is incomplete, altered or made for something else."""


class TrainingError(EvergreenError):
    """A model cannot be fitted on what it was given."""


class RequestError(EvergreenError):
    """A request to a model or to the endpoint makes no sense."""


class NotFoundError(RequestError):
    """A request names something that is not there."""


class DeploymentError(EvergreenError):
    """The built service does not do what the plan asks of it."""


class NotViableError(EvergreenError):
    """The plan says that going on is not worth it."""


class GateError(EvergreenError):
    """A verdict keeps a stage from starting, or cannot be accepted."""
