"""Each expectation about the labelled set rejects one row that was made to break it."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.contracts import schemas
from pipeline.contracts.errors import DataQualityError
from pipeline.labeling.audit import checks
from pipeline.labeling.audit.balance import compute_balance
from pipeline.labeling.audit.label_audit import LabelAudit, LabelCounts, ReviewCounts
from pipeline.labeling.examples.labelling import Labelled
from pipeline.labeling.examples.windows import Window
from pipeline.labeling.report import build_verdict
from pipeline.validation import Validator
from tests.support.weekly_shop import events, items, labeling, labelled, moment

pytestmark = pytest.mark.slow

PARAMS = labeling(mean_labels=[1.0, 5.0], positive_fraction=[0.2, 0.6])
Row = dict[str, Any]


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    return Validator(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="module")
def good() -> Labelled:
    return labelled(events())


@pytest.fixture(scope="module")
def balances(good: Labelled) -> pd.DataFrame:
    return compute_balance(good, items(), 1)


def test_the_labelled_set_of_the_weekly_shop_meets_every_expectation(
    good: Labelled, validator: Validator, balances: pd.DataFrame
) -> None:
    validations = checks.validate(good.table(), balances, good.source.windows, PARAMS, validator)
    assert [v.failures for v in validations] == [(), (), (), ()]
    checks.check_usable(validations)


def put(name: str, value: Any) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        row[name] = value

    return change


def copy_first(source: str, target: str) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        row[target] = [row[source][0], *row[target][1:]]

    return change


def repeat_last(name: str) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        row[name] = [*row[name][1:], row[name][-1]]

    return change


BEFORE, AFTER = moment("2024-01-28T23:59"), moment("2024-02-05")
BAD_ROWS: dict[str, tuple[Callable[[Row], None], str, str]] = {
    "the future as history": (put("timestamp", BEFORE), "labelled examples", "greater"),
    "a request before its split": (put("timestamp", BEFORE), "labelled examples", "timestamp"),
    "a request after its split": (put("timestamp", AFTER), "labelled examples", "timestamp"),
    "an unknown split": (put("split", "holdout"), "labelled examples", "split: be in set"),
    "an unknown protocol": (put("protocol", "guess"), "labelled examples", "protocol: be in set"),
    "an id that is taken": (
        put("example_id", "rolling:bob:bob-01-30"),
        "labelled examples",
        "example_id: be unique",
    ),
    "a count below zero": (
        put("n_earlier_baskets", -1),
        "labelled examples",
        "n_earlier_baskets: be between",
    ),
    "a missing shopper": (put("user_id", None), "labelled examples", "user_id: not be null"),
    "no label": (put("labels", []), "labelled lists", "n_labels: be between"),
    "a label without a weight": (put("relevance", [1.0]), "labelled lists", "n_unweighted"),
    "a weight of zero": (put("relevance", [1.0, 0.0]), "labelled lists", "n_worthless"),
    "a label twice": (repeat_last("labels"), "labelled lists", "n_repeated"),
    "a label in the cart": (put("cart", ["salt"]), "labelled lists", "n_labels_in_cart"),
    "no negative": (put("negatives", []), "labelled lists", "n_negatives: be between"),
    "too many negatives": (put("negatives", list("abcd")), "labelled lists", "n_negatives: be"),
    "a negative twice": (repeat_last("negatives"), "labelled lists", "n_negatives_repeated"),
    "a wanted negative": (
        copy_first("labels", "negatives"),
        "labelled lists",
        "n_negatives_wanted",
    ),
    "a negative in the cart": (
        lambda row: row.update(cart=row["negatives"][:1]),
        "labelled lists",
        "n_negatives_in_cart",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_one_bad_row_is_rejected(good: Labelled, validator: Validator, name: str) -> None:
    change, suite, reason = BAD_ROWS[name]
    rows = good.table().to_pylist()
    change(next(row for row in rows if row["example_id"] == "rolling:ann:ann-01-30"))
    table = pa.Table.from_pylist(rows, schema=good.table().schema)
    if suite == "labelled lists":
        lists = checks.build_lists_table(PARAMS.n_negatives)
        validations = validator.validate(checks.build_lists_frame(table), lists, name=suite)
    else:
        extra = checks.build_time_expectations(good.source.windows)
        frame = checks.build_examples_frame(table)
        validations = validator.validate(frame, schemas.EXAMPLES, name=suite, extra=extra)
    reasons = [failure.reason for failure in validations.failures]
    assert any(reason in entry for entry in reasons), reasons
    with pytest.raises(DataQualityError, match=f"every expectation of '{suite}'"):
        checks.check_usable([validations])


def test_a_missing_column_is_rejected(validator: Validator, good: Labelled) -> None:
    frame = checks.build_examples_frame(good.table()).drop(columns="cutoff")
    validations = validator.validate(frame, schemas.EXAMPLES, name="missing")
    assert "table columns to match set" in [f.reason for f in validations.failures]


def moved(windows: tuple[Window, ...], number: int, **changes: Any) -> list[Window]:
    result = list(windows)
    result[number] = Window(**(vars(result[number]) | changes))
    return result


BAD_WINDOWS: dict[str, tuple[dict[str, Any], str]] = {
    "a window that opens before the last one has closed": (
        {"cutoff": moment("2024-02-01")},
        "hours_after_previous: be between",
    ),
    "a window that opens before an earlier label": (
        {"cutoff": moment("2024-01-30T09:00")},
        "hours_after_earlier_labels: be between",
    ),
    "a split that comes before an earlier split": ({"split": "train"}, "split_order: be between"),
}


@pytest.mark.parametrize("name", BAD_WINDOWS)
def test_overlapping_or_unordered_windows_are_rejected(
    good: Labelled, validator: Validator, name: str
) -> None:
    changes, reason = BAD_WINDOWS[name]
    windows = moved(good.source.windows, 3, **changes)  # the test window
    frame = checks.build_windows_frame(checks.build_examples_frame(good.table()), windows)
    validations = validator.validate(frame, checks.WINDOWS, name="label windows")
    assert reason in [failure.reason for failure in validations.failures]


BAD_BALANCE = {
    "mean_labels": 0.5,
    "positive_fraction": 0.7,
    "user_coverage": 0.2,
    "item_coverage": 0.01,
    "department_coverage": 0.4,
    "n_examples": 0,
    "n_users": 0,
    "n_labels": 0,
    "n_carts": -1,
}


@pytest.mark.parametrize("name", BAD_BALANCE)
def test_a_bad_balance_returns_to_collection(
    validator: Validator, balances: pd.DataFrame, name: str
) -> None:
    worse = balances.copy()
    worse.loc[0, name] = BAD_BALANCE[name]
    validations = validator.validate(worse, checks.build_balance_table(PARAMS), name=checks.BALANCE)
    assert [failure.reason for failure in validations.failures] == [f"{name}: be between"]
    checks.check_usable([validations])
    conclusion = build_verdict(calm(), balances, [validations], PARAMS)
    assert (conclusion.status, conclusion.target_phase) == ("return", "collection")
    assert conclusion.cause == "failures: label balance is 1"


def calm(doubtful: float = 0.0, held_out: float = 0.0, ignored: int = 0) -> LabelAudit:
    labels = LabelCounts(
        n_labels=34,
        n_reviewed=24,
        n_doubtful=0,
        doubtful_fraction=doubtful,
        n_doubtful_by_reason={},
        n_held_out=10,
        n_held_out_doubtful=0,
        held_out_doubtful_fraction=held_out,
        n_without_category=0,
    )
    reviews = ReviewCounts(
        n_decisions=2 * ignored,
        n_keep=2 * ignored,
        n_drop=0,
        n_unmatched=ignored,
        n_without_effect=ignored,
        n_lines_dropped=0,
    )
    return LabelAudit.model_construct(labels=labels, reviews=reviews)


def test_more_doubtful_labels_than_allowed_return_to_collection(balances: pd.DataFrame) -> None:
    limit = PARAMS.maximum_doubtful_fraction
    assert build_verdict(calm(limit), balances, [], PARAMS).status == "proceed"
    conclusion = build_verdict(calm(limit + 0.01), balances, [], PARAMS)
    assert (conclusion.status, conclusion.target_phase) == ("return", "collection")
    assert "review_queue.csv" in str(conclusion.action)


def test_what_no_reviewer_can_settle_is_a_warning(balances: pd.DataFrame) -> None:
    limit = PARAMS.maximum_doubtful_fraction
    assert build_verdict(calm(held_out=limit), balances, [], PARAMS).warnings == ()
    verdict = build_verdict(calm(held_out=limit + 0.01, ignored=2), balances, [], PARAMS)
    assert verdict.status == "proceed"
    assert [(item.name, item.value) for item in verdict.warnings] == [
        ("held_out_doubtful_fraction", pytest.approx(limit + 0.01)),
        ("decisions_without_effect", 4),  # two held out, two that match no basket
    ]
