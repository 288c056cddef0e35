"""Each expectation about the clean tables rejects one row that was made to break it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from pipeline.collection.quality import (
    build_event_expectations,
    build_offer_expectations,
    check_failures,
    reasons_by_row,
)
from pipeline.contracts import schemas
from pipeline.contracts.errors import DataQualityError
from pipeline.validation import Validation, Validator

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

ENDS = datetime(2024, 7, 1, tzinfo=UTC)
N_ROWS = 4
BAD_ROW = 2

pytestmark = pytest.mark.slow


def moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC").as_unit("us")


GOOD: dict[str, pd.DataFrame] = {
    "events": pd.DataFrame(
        {
            "user_id": ["ann", "bob", "cid", "dot"],
            "item_id": "milk",
            "timestamp": [moment(f"2024-06-0{day}") for day in range(1, 5)],
            "event_type": list(schemas.EVENT_TYPES),
            "quantity": [0.0, 1.0, 2.0, 100.0],
            "price": [0.0, 0.5, 1.0, 999_999.0],
            "discount": [0.0, 0.1, 0.2, 0.3],
            "basket_id": ["1", "2", "3", "4"],
            "session_id": [None, "1", "2", "3"],
            "store_id": ["a", "b", None, "c"],
            "source": "till",
        }
    ),
    "items": pd.DataFrame(
        {
            "item_id": ["bread", "jam", "milk", "tea"],
            "title": ["Bread", "Jam", "Milk", None],
            "department": ["GROCERY", "GROCERY", "GROCERY", None],
            "category": ["A", "B", "C", None],
            "type": ["a", "b", "c", None],
            "brand": ["x", "y", "z", None],
            "first_seen": [*[moment("2024-01-01")] * 3, pd.NaT],
        }
    ),
    "users": pd.DataFrame({"user_id": ["ann", "bob", "cid", "dot"], "age": ["1", "2", None, "3"]}),
    "offers": pd.DataFrame(
        {
            "item_id": ["bread", "jam", "milk", "tea"],
            "starts": moment("2024-06-01"),
            "ends": moment("2024-06-08"),
            "kind": list(schemas.OFFER_KINDS),
            "store_fraction": [0.0, 0.5, 0.9, 1.0],
            "store_id": [None, "a", "b", "c"],
            "audience": ["all", "few", "none", None],
            "audience_fraction": [1.0, 0.0, None, None],
        }
    ),
}
SCHEMAS = {table.name: table for table in (schemas.EVENTS, schemas.ITEMS, schemas.USERS)}
SCHEMAS["offers"] = schemas.OFFERS

BAD_ROWS: tuple[tuple[str, str, Any, str], ...] = (
    ("events", "user_id", None, "user_id: not be null"),
    ("events", "item_id", None, "item_id: not be null"),
    ("events", "timestamp", pd.NaT, "timestamp: not be null"),
    ("events", "timestamp", ENDS, "timestamp: be between"),
    ("events", "timestamp", moment("2031-01-01"), "timestamp: be between"),
    ("events", "event_type", None, "event_type: not be null"),
    ("events", "event_type", "wish", "event_type: be in set"),
    ("events", "quantity", None, "quantity: not be null"),
    ("events", "quantity", -1.0, "quantity: be between"),
    ("events", "price", None, "price: not be null"),
    ("events", "price", -0.01, "price: be between"),
    ("events", "price", np.inf, "price: be between"),
    ("events", "price", 1_000_001.0, "price: be between"),
    ("events", "discount", None, "discount: not be null"),
    ("events", "discount", -0.01, "discount: be between"),
    ("events", "discount", np.inf, "discount: be between"),
    ("events", "source", None, "source: not be null"),
    ("events", "basket_id", None, "basket_id: not be null"),
    ("events", "user_id", "ann\n", f"user_id: {schemas.ID_RULE}"),
    ("events", "item_id", "wait\u0085", f"item_id: {schemas.ID_RULE}"),
    ("events", "basket_id", "te\tn", f"basket_id: {schemas.ID_RULE}"),
    ("events", "session_id", " 1", f"session_id: {schemas.ID_RULE}"),
    ("events", "store_id", "a" * 129, f"store_id: {schemas.ID_RULE}"),
    ("items", "item_id", "a\u2028b", f"item_id: {schemas.ID_RULE}"),
    ("users", "user_id", "", f"user_id: {schemas.ID_RULE}"),
    ("offers", "item_id", "tea ", f"item_id: {schemas.ID_RULE}"),
    ("offers", "store_id", "b\x7fc", f"store_id: {schemas.ID_RULE}"),
    ("items", "item_id", None, "item_id: not be null"),
    ("users", "user_id", None, "user_id: not be null"),
    ("offers", "item_id", None, "item_id: not be null"),
    ("offers", "starts", pd.NaT, "starts: not be null"),
    ("offers", "ends", pd.NaT, "ends: not be null"),
    ("offers", "ends", moment("2024-06-01"), "column pair values a to be greater than b"),
    ("offers", "ends", moment("2024-05-01"), "column pair values a to be greater than b"),
    ("offers", "kind", None, "kind: not be null"),
    ("offers", "kind", "radio", "kind: be in set"),
    ("offers", "store_fraction", None, "store_fraction: not be null"),
    ("offers", "store_fraction", -0.1, "store_fraction: be between"),
    ("offers", "store_fraction", 1.1, "store_fraction: be between"),
    ("offers", "audience_fraction", -0.1, "audience_fraction: be between"),
    ("offers", "audience_fraction", 1.1, "audience_fraction: be between"),
)
UNIQUE = (("items", "item_id"), ("users", "user_id"))
WRONG_TYPES = {
    "events": tuple(GOOD["events"].columns),
    "items": ("item_id", "title", "department", "category", "type", "brand", "first_seen"),
    "users": ("user_id",),
    "offers": tuple(GOOD["offers"].columns),
}


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    return Validator(tmp_path_factory.mktemp("context"))


def extra(table: str) -> "list[Expectation]":
    made = {"events": lambda: build_event_expectations(ENDS), "offers": build_offer_expectations}
    return made.get(table, list)()


def validate(validator: Validator, table: str, frame: pd.DataFrame) -> Validation:
    return validator.validate(frame, SCHEMAS[table], name=table, extra=extra(table))


@pytest.mark.parametrize("table", GOOD)
def test_good_rows_meet_every_expectation(validator: Validator, table: str) -> None:
    validations = validate(validator, table, GOOD[table])
    assert (validations.n_rows, validations.failures) == (N_ROWS, ())
    check_failures(validations, GOOD[table], 0.0, where=table)


@pytest.mark.parametrize(("table", "column", "value", "reason"), BAD_ROWS)
def test_one_bad_row_is_rejected(
    validator: Validator, table: str, column: str, value: Any, reason: str
) -> None:
    frame = GOOD[table].copy()
    frame.loc[BAD_ROW, column] = value
    validations = validate(validator, table, frame)
    assert list(reasons_by_row(validations)) == [BAD_ROW]
    assert reason in reasons_by_row(validations)[BAD_ROW].split("; ")
    check_failures(validations, frame, 1 / N_ROWS, where=table)
    with pytest.raises(DataQualityError, match="1 of 4 rows"):
        check_failures(validations, frame, 0.2, where=table)


@pytest.mark.parametrize(("table", "column"), UNIQUE)
def test_an_id_that_is_taken_is_rejected(validator: Validator, table: str, column: str) -> None:
    frame = GOOD[table].copy()
    frame.loc[BAD_ROW, column] = frame.loc[0, column]
    validations = validate(validator, table, frame)
    reason = f"{column}: be unique"
    assert reasons_by_row(validations) == {0: reason, BAD_ROW: reason}


@pytest.mark.parametrize("table", GOOD)
def test_columns_of_another_type_stop_whatever_the_limit(validator: Validator, table: str) -> None:
    numbers = {column: range(N_ROWS) for column in WRONG_TYPES[table]}
    validations = validate(validator, table, GOOD[table].assign(**numbers))
    reasons = {failure.reason for failure in validations.failures}
    assert {f"{column}: be of type" for column in WRONG_TYPES[table]} <= reasons
    with pytest.raises(DataQualityError, match="at most 100"):
        check_failures(validations, GOOD[table], 1.0, where=table)


@pytest.mark.parametrize("table", GOOD)
def test_a_missing_column_stops_whatever_the_limit(validator: Validator, table: str) -> None:
    frame = GOOD[table].drop(columns=SCHEMAS[table].columns[0].name)
    validations = validate(validator, table, frame)
    assert "table columns to match set" in {failure.reason for failure in validations.failures}
    with pytest.raises(DataQualityError):
        check_failures(validations, frame, 1.0, where=table)


@pytest.mark.parametrize("table", ["events", "items", "offers"])
def test_a_column_too_many_stops_whatever_the_limit(validator: Validator, table: str) -> None:
    frame = GOOD[table].assign(colour="red")
    validations = validate(validator, table, frame)
    assert [failure.reason for failure in validations.failures] == ["table columns to match set"]
    with pytest.raises(DataQualityError, match="colour"):
        check_failures(validations, frame, 1.0, where=table)


def test_no_expectation_is_left_without_a_row_that_breaks_it() -> None:
    from pipeline.validation.suites import build_expectations

    broken = {(table, reason) for table, _, _, reason in BAD_ROWS}
    broken |= {(table, f"{column}: be unique") for table, column in UNIQUE}
    broken |= {
        (t, f"{column}: be of type") for t, columns in WRONG_TYPES.items() for column in columns
    }
    broken |= {(table, "table columns to match set") for table in GOOD}
    expected = {
        (table, reason_of(entry))
        for table, frame in GOOD.items()
        for entry in [*build_expectations(SCHEMAS[table], frame), *extra(table)]
    }
    assert expected == broken


def reason_of(expectation: "Expectation") -> str:
    words = expectation.expectation_type.removeprefix("expect_")
    phrase = expectation.description or words.removeprefix("column_values_to_").replace("_", " ")
    column = getattr(expectation, "column", None)
    return f"{column}: {phrase}" if column else phrase
