"""The errors that Evergreen raises.

    EvergreenError                base class: what was expected, what was received, what to do
    ├── ParamsError               params.yaml holds an unknown key or an invalid value
    ├── SourceError               the retailer's data cannot be read, or lacks a required part
    ├── SchemaError               a table does not have the columns or types of its schema
    ├── DataQualityError          too many rows break their expectations
    ├── ArtefactError             a file between stages is missing or damaged
    │   └── BundleError           a model bundle is incomplete, altered or incompatible
    ├── TrainingError             a model cannot be fitted on the given data
    ├── RequestError              a request to a model or to the endpoint is invalid
    │   └── NotFoundError         a request names something that does not exist
    ├── DeploymentError           the built service does not meet the plan
    ├── NotViableError            the plan concludes that the project is not worth its cost
    └── GateError                 a verdict keeps a stage from starting, or cannot be accepted

Every message reads `Expected …, got …. …`. Commands in it stand between backticks, begin with
`make` or `uv run`, and work as shown in a plain shell in the project's root.
"""

import os
import shutil
from pathlib import Path

UV_OF_MAKE = Path(".uv/bin/uv")


def adapt_commands(text: str) -> str:
    """Return `text` with its `uv …` commands as they must be typed on this machine.

    If uv was not installed, `make` installs it in a folder of the project that is on the PATH of
    `make` only.
    """
    project_bin = UV_OF_MAKE.parent.resolve()
    folders = [name for name in os.environ.get("PATH", "").split(os.pathsep) if name]
    others = os.pathsep.join(name for name in folders if Path(name).resolve() != project_bin)
    if shutil.which("uv", path=others) or not UV_OF_MAKE.exists():
        return text
    return text.replace("`uv ", f"`{UV_OF_MAKE} ")


class EvergreenError(Exception):
    """An error that states what was expected, what was received, and what to do.

    >>> str(EvergreenError("a port", received="'x'", action="Give a number."))
    "Expected a port, got 'x'. Give a number."
    """

    def __init__(self, expected: str, *, received: str, action: str) -> None:
        """Build the message.

        Args:
            expected: Noun phrase that follows "Expected".
            received: Noun phrase that follows "got".
            action: Sentences that tell the reader what to do.
        """
        self.expected = expected
        self.received = received
        self.action = adapt_commands(action)
        super().__init__(f"Expected {expected}, got {received}. {self.action}")


class ParamsError(EvergreenError):
    """params.yaml holds an unknown key, a wrong type or an invalid value."""


class SourceError(EvergreenError):
    """The retailer's data cannot be read, or lacks a required part."""


class SchemaError(EvergreenError):
    """A table does not have the columns or types of its schema."""


class DataQualityError(EvergreenError):
    """Too many rows break their expectations."""


class ArtefactError(EvergreenError):
    """A file between stages is missing or damaged."""


class BundleError(ArtefactError):
    """A model bundle is incomplete, altered or incompatible."""


class TrainingError(EvergreenError):
    """A model cannot be fitted on the given data."""


class RequestError(EvergreenError):
    """A request to a model or to the endpoint is invalid."""


class NotFoundError(RequestError):
    """A request names something that does not exist."""


class DeploymentError(EvergreenError):
    """The built service does not meet the plan."""


class NotViableError(EvergreenError):
    """The plan concludes that the project is not worth its cost."""


class GateError(EvergreenError):
    """A verdict keeps a stage from starting, or cannot be accepted."""
