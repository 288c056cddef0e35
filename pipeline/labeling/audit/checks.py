"""Great Expectations on the labelled set: schema, time, lists, class balance, coverage.

There are four validations. If one of the first three fails, the set is unusable; if the last one
fails, the verdict returns to collection.

    labelled examples    the schema; requests lie inside their window
    labelled lists       labels, weights, cart and negatives are consistent and disjoint
    label windows        windows do not overlap
    label balance        labels per example, share of positives, coverage, per split and protocol
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contracts import schemas
from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.params import LabelingParams
from pipeline.contracts.schemas import TIMESTAMP, Column, Table
from pipeline.labeling.examples.ragged import Longs
from pipeline.labeling.examples.windows import Window
from pipeline.validation import Validation, Validator

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

BALANCE = "label balance"
COUNT, SHARE = pa.int64(), pa.float64()
WINDOWS = Table(
    "windows",
    (
        Column("split", pa.string(), "which part of time", values=schemas.SPLITS),
        Column("opens", TIMESTAMP, "its cutoff"),
        Column("closes", TIMESTAMP, "first moment after it"),
        Column("n_examples", COUNT, "examples in it", minimum=0),
        Column("hours_after_previous", SHARE, "opens after the last one closed", minimum=0),
        Column("hours_after_earlier_labels", SHARE, "after the last earlier request", minimum=0),
        Column("split_order", COUNT, "steps forward in train ... production", minimum=0),
    ),
)


def build_lists_table(n_negatives: int) -> Table:
    """Return the schema of the counts about each example's lists."""
    return Table(
        "lists",
        (
            Column("example_id", pa.string(), "which", unique=True),
            Column("n_labels", COUNT, "items to be predicted", minimum=1),
            Column("n_unweighted", COUNT, "labels without a weight", minimum=0, maximum=0),
            Column("n_worthless", COUNT, "weights of zero or less", minimum=0, maximum=0),
            Column("n_repeated", COUNT, "labels listed twice", minimum=0, maximum=0),
            Column("n_labels_in_cart", COUNT, "labels already shown", minimum=0, maximum=0),
            Column("n_negatives", COUNT, "drawn", minimum=1, maximum=n_negatives),
            Column("n_negatives_repeated", COUNT, "drawn twice", minimum=0, maximum=0),
            Column("n_negatives_wanted", COUNT, "that are labels", minimum=0, maximum=0),
            Column("n_negatives_in_cart", COUNT, "that are in the cart", minimum=0, maximum=0),
        ),
    )


def build_balance_table(params: LabelingParams) -> Table:
    """Return the schema and bounds of the balance table."""
    labels, positive = params.mean_labels, params.positive_fraction
    users, items = params.minimum_user_coverage, params.minimum_item_coverage
    departments = params.minimum_department_coverage
    return Table(
        "balance",
        (
            Column("split", pa.string(), "which part of time", values=schemas.SPLITS),
            Column("protocol", pa.string(), "how requests are made", values=schemas.PROTOCOLS),
            Column("n_examples", COUNT, "examples", minimum=1),
            Column("n_users", COUNT, "shoppers", minimum=1),
            Column("n_labels", COUNT, "labels", minimum=1),
            Column("n_carts", COUNT, "examples with a cart", minimum=0),
            _between("mean_labels", "labels per example", *labels),
            _between("positive_fraction", "labels among labels and negatives", *positive),
            _between("user_coverage", "known shoppers with an example", users, 1.0),
            _between("item_coverage", "items sold that are a label", items, 1.0),
            _between("department_coverage", "departments with a label", departments, 1.0),
        ),
        key=("split", "protocol"),
    )


def _between(name: str, description: str, minimum: float, maximum: float) -> Column:
    return Column(name, SHARE, description, minimum=minimum, maximum=maximum)


def validate(
    table: pa.Table,
    balances: pd.DataFrame,
    windows: Sequence[Window],
    params: LabelingParams,
    validator: Validator,
) -> list[Validation]:
    """Run the four validations.

    Args:
        table: schemas.EXAMPLES.
        balances: From `compute_balance`.
        windows: Windows of the examples.
        params: Bounds.
        validator: Collects the Data Docs.
    """
    frame = build_examples_frame(table)
    return [
        validator.validate(
            frame,
            schemas.EXAMPLES,
            name="labelled examples",
            extra=build_time_expectations(windows),
        ),
        validator.validate(
            build_lists_frame(table), build_lists_table(params.n_negatives), name="labelled lists"
        ),
        validator.validate(build_windows_frame(frame, windows), WINDOWS, name="label windows"),
        validator.validate(balances, build_balance_table(params), name=BALANCE),
    ]


def build_examples_frame(table: pa.Table) -> pd.DataFrame:
    """Return schemas.EXAMPLES as a frame whose lists stay in Arrow."""
    lists = [c.name for c in schemas.EXAMPLES.columns if pa.types.is_list(c.dtype)]
    frame: pd.DataFrame = table.drop_columns(lists).to_pandas()
    arrays = {name: pd.arrays.ArrowExtensionArray(table[name]) for name in lists}
    return pd.DataFrame(frame.assign(**arrays), columns=table.column_names)


def build_time_expectations(windows: Sequence[Window]) -> "list[Expectation]":
    """Return the expectations that requests lie after their cutoff and inside their split."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column as Field

    later = gxe.ExpectColumnPairValuesAToBeGreaterThanB
    between = gxe.ExpectColumnValuesToBeBetween
    expectations: list[Expectation] = [
        later(column_A="timestamp", column_B="cutoff", or_equal=True)
    ]
    for split in dict.fromkeys(window.split for window in windows):
        closes = max(window.ends for window in windows if window.split == split)
        opens = min(window.cutoff for window in windows if window.split == split)
        bounds = {"min_value": opens, "max_value": closes, "strict_max": True}
        inside = Field("split") == split
        expectations.append(between(column="timestamp", **bounds, row_condition=inside))
    return expectations


def build_lists_frame(table: pa.Table) -> pd.DataFrame:
    """Return counts about each example's lists, independent of the code that builds them."""
    n = table.num_rows
    labels, cart, negatives = _flat(table, ("labels", "cart", "negatives"))
    weights = table["relevance"].combine_chunks()
    low = pc.less_equal(weights.flatten(), 0.0).to_numpy(zero_copy_only=False)
    weighted = _rows(weights)
    n_labels = np.bincount(labels["row"], minlength=n)
    n_weights = np.bincount(weighted, minlength=n)
    return pd.DataFrame(
        {
            "example_id": table["example_id"].to_pandas(),
            "n_labels": n_labels,
            "n_unweighted": np.abs(n_labels - n_weights),
            "n_worthless": np.bincount(weighted[low], minlength=n),
            "n_repeated": _count(labels[labels.duplicated()], n),
            "n_labels_in_cart": _count(labels.merge(cart), n),
            "n_negatives": np.bincount(negatives["row"], minlength=n),
            "n_negatives_repeated": _count(negatives[negatives.duplicated()], n),
            "n_negatives_wanted": _count(negatives.merge(labels), n),
            "n_negatives_in_cart": _count(negatives.merge(cart), n),
        }
    )


def _flat(table: pa.Table, names: Sequence[str]) -> list[pd.DataFrame]:
    """Return one frame per column with the row and the code of each value."""
    columns = [table[name].combine_chunks() for name in names]
    every = pa.concat_arrays([lists.flatten() for lists in columns]).dictionary_encode()
    rows = [_rows(lists) for lists in columns]
    codes = np.split(every.indices.to_numpy(), np.cumsum([len(values) for values in rows])[:-1])
    pairs = zip(rows, codes, strict=True)
    return [pd.DataFrame({"row": row, "value": code}) for row, code in pairs]


def _rows(lists: pa.ListArray) -> Longs:
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths)


def _count(lines: pd.DataFrame, n: int) -> Longs:
    return np.bincount(lines["row"].to_numpy(dtype=np.int64), minlength=n)


def build_windows_frame(frame: pd.DataFrame, windows: Sequence[Window]) -> pd.DataFrame:
    """Return one row per window, ordered by cutoff, with the gaps to the earlier windows.

    Args:
        frame: Examples; their requests must lie after all earlier windows.
        windows: Windows of the examples.
    """
    cut = pd.DataFrame(
        {
            "split": [w.split for w in windows],
            "opens": pd.to_datetime([w.cutoff for w in windows], utc=True).as_unit("us"),
            "closes": pd.to_datetime([w.ends for w in windows], utc=True).as_unit("us"),
        }
    ).sort_values("opens", ignore_index=True)
    requests = frame.groupby("cutoff")["timestamp"].agg(["size", "max"]).reindex(cut["opens"])
    latest = requests["max"].cummax().shift().reset_index(drop=True)
    order = cut["split"].map(schemas.SPLITS.index)
    return cut.assign(
        n_examples=requests["size"].fillna(0).astype("int64").to_numpy(),
        hours_after_previous=_hours(cut["opens"] - cut["closes"].cummax().shift()),
        hours_after_earlier_labels=_hours(cut["opens"] - latest),
        split_order=order.diff().fillna(0).astype("int64"),
    )


def _hours(gaps: pd.Series) -> pd.Series:
    hours: pd.Series = gaps.dt.total_seconds() / 3600
    return hours.fillna(0.0)


def check_usable(validations: Sequence[Validation]) -> None:
    """Check that all validations except the balance succeed.

    Raises:
        DataQualityError: The set contains future events, overlaps, or is inconsistent.
    """
    for validation in validations:
        if validation.failures and validation.suite != BALANCE:
            worst = validation.failures[0]
            raise DataQualityError(
                f"labelled examples that meet every expectation of '{validation.suite}'",
                received=f"'{worst.reason}' fails: {worst.observed}; "
                f"{len(validation.failures)} of {validation.n_expectations} fail",
                action="Nothing was written. Check the events of these examples in data/clean; if "
                "they are sound, report a fault in pipeline/labeling.",
            )
