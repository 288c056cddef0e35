"""Great Expectations: suites built from schemas.py, validation results, Data Docs.

    validator = Validator(folder)                       # a fresh file context
    outcome = validator.validate(frame, schemas.EVENTS, name="events", extra=(...))
    outcome.failures                                    # which expectation, which rows
    validator.write_docs(Path("reports/…/data_docs"))   # offline, same bytes for same results

`extra` takes further expectations of `great_expectations.expectations`; with `mostly` they tolerate
some failing rows.
"""

import copy
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.contracts.schemas import PERSONAL, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations import Expectation

Document = dict[str, Any]
"""A Great Expectations validation result as JSON, without what changes from run to run."""

N_EXAMPLES = 5
LONG = ("unexpected_list", "unexpected_index_list", "partial_unexpected_index_list")
EXAMPLES = ("partial_unexpected_list", "partial_unexpected_counts")


@dataclass(frozen=True)
class Failure:
    """A failed expectation.

    `rows` are the positions of the failing rows in the validated frame; empty for an expectation
    about the whole table. `rule` describes the expectation if its name does not.
    """

    expectation: str
    column: str | None
    n_rows: int
    rows: tuple[int, ...]
    observed: str
    rule: str | None = None

    @property
    def reason(self) -> str:
        """Return the failure as one phrase, for example 'price: not be null'."""
        words = self.expectation.removeprefix("expect_").removeprefix("column_values_to_")
        phrase = self.rule or words.replace("_", " ")
        return f"{self.column}: {phrase}" if self.column else phrase


@dataclass(frozen=True)
class Validation:
    """The outcome of one suite on one frame."""

    suite: str
    n_rows: int
    n_expectations: int
    failures: tuple[Failure, ...]

    @property
    def failing_rows(self) -> tuple[int, ...]:
        """Return the positions of all rows that break an expectation, ascending."""
        return tuple(sorted({row for failure in self.failures for row in failure.rows}))


class Validator:
    """A Great Expectations file context in `folder` that collects validations for its Data Docs."""

    def __init__(self, folder: Path) -> None:
        """Open a fresh context; analytics and progress bars are off."""
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        import great_expectations as gx

        folder.mkdir(parents=True, exist_ok=True)
        self._context = gx.get_context(mode="file", project_root_dir=folder)
        self._context.variables.progress_bars = {"globally": False}
        self._source = self._context.data_sources.add_or_update_pandas("frames")
        self._documents: dict[str, Document] = {}

    def validate(
        self,
        frame: pd.DataFrame,
        schema: Table,
        *,
        name: str,
        extra: "Sequence[Expectation]" = (),
    ) -> Validation:
        """Run the suite of `schema`, and `extra` Great Expectations expectations, on `frame`.

        Args:
            frame: What is validated; its index does not matter.
            schema: Types, nulls, sets, ranges and uniqueness come from its columns.
            name: Of the suite and of its page in the Data Docs, for example 'events 2017-03'.
            extra: Further expectations.
        """
        import great_expectations as gx

        from pipeline.validation.suites import build_expectations

        expectations = [*build_expectations(schema, frame), *map(copy.copy, extra)]
        suite = self._context.suites.add_or_update(
            gx.ExpectationSuite(name=name, expectations=expectations)
        )
        asset = self._source.add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe("whole")
        outcome = batch.get_batch({"dataframe": frame.reset_index(drop=True)}).validate(
            suite,
            result_format={
                "result_format": "COMPLETE",
                "partial_unexpected_count": N_EXAMPLES,
                "return_unexpected_index_query": False,
            },
        )
        self._source.delete_asset(name)
        failures = [_failure(result) for result in outcome.results if not result.success]
        self._documents[name] = _document(outcome.to_json_dict(), len(frame))
        return Validation(name, len(frame), len(expectations), tuple(failures))

    def document(self, name: str) -> Document:
        """Return the latest validation called `name` as JSON, to be stored for later runs."""
        return self._documents[name]

    def add_document(self, name: str, document: Document) -> None:
        """Add a validation of an earlier run on the same data to the Data Docs."""
        self._documents[name] = document

    def write_docs(self, folder: Path) -> None:
        """Write the Data Docs of the latest validations: self-contained, readable offline."""
        from pipeline.validation.docs import write_pages

        write_pages(self._documents, folder)


def _failure(result: "ExpectationValidationResult") -> Failure:
    config = result.expectation_config
    assert config is not None
    details = result.result or {}
    rows = tuple(sorted(int(row) for row in details.get("unexpected_index_list") or ()))
    if rows and _is_personal(config.kwargs):
        observed = f"{len(rows)} rows"
    elif rows:
        examples = [str(value) for value in details["partial_unexpected_list"][:N_EXAMPLES]]
        observed = f"{len(rows)} rows, for example {', '.join(examples)}"
    elif "observed_value" in details:
        observed = str(details["observed_value"])
    else:
        observed = _raised(result.exception_info)
    column = config.kwargs.get("column")
    return Failure(config.type, column, len(rows), rows, observed, config.description)


def _is_personal(kwargs: dict[str, Any]) -> bool:
    """Return whether an expectation reads columns that identify a person."""
    columns = [kwargs.get("column"), *(kwargs.get("column_list") or ())]
    return not set(columns).isdisjoint(PERSONAL)


def _raised(info: dict[str, Any]) -> str:
    """Return the error messages of an expectation that could not be evaluated."""
    nested = [value for value in info.values() if isinstance(value, dict)]
    messages = [str(part["exception_message"]) for part in nested or [info]]
    return "; ".join(messages)


def _document(result: Document, n_rows: int) -> Document:
    """Return the result without row lists, ids and times, so that equal data give equal results."""
    for outcome in result["results"]:
        config = outcome["expectation_config"]
        outcome["meta"] = {}
        config["meta"] = {}
        config.pop("id", None)
        config["kwargs"].pop("batch_id", None)
        for key in (*LONG, *(EXAMPLES if _is_personal(config["kwargs"]) else ())):
            outcome["result"].pop(key, None)
        outcome["result"].pop("unexpected_index_query", None)
    result["meta"] = {}
    result["id"] = None
    result["n_rows"] = n_rows
    return result
