"""Great Expectations: suites built from schemas.py, validation results, readable Data Docs."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.schemas import Table


@dataclass(frozen=True)
class Failure:
    """An expectation that some rows break.

    `rows` are the positions of the failing rows in the validated frame (empty for an expectation
    about the table as a whole).
    """

    expectation: str
    column: str | None
    n_rows: int
    rows: tuple[int, ...]
    observed: str


@dataclass(frozen=True)
class Validation:
    """The outcome of one suite on one frame."""

    suite: str
    n_rows: int
    n_expectations: int
    failures: tuple[Failure, ...]


class Validator:
    """A Great Expectations file context in `folder` that collects validations for its Data Docs."""

    def __init__(self, folder: Path) -> None:
        """Open a fresh context; analytics and progress bars are off."""
        raise NotImplementedError

    def validate(
        self, frame: pd.DataFrame, schema: Table, *, name: str, extra: tuple[object, ...] = ()
    ) -> Validation:
        """Run the suite of `schema`, and `extra` Great Expectations expectations, on `frame`."""
        raise NotImplementedError

    def write_docs(self, folder: Path) -> None:
        """Write the Data Docs of the latest validations: self-contained, readable offline."""
        raise NotImplementedError
