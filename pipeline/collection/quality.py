"""Expectations beyond the schemas, and the limit of failing rows."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.schemas import PERSONAL
from pipeline.validation import Failure, Validation

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation

HIGHEST_AMOUNT = 1e6
"""Above any real price or discount: catches infinity and amounts in the wrong unit."""

N_SHOWN = 3


def build_event_expectations(ends: datetime, begins: datetime | None = None) -> "list[Expectation]":
    """Return the expectations of clean events beyond their schema.

    Args:
        ends: The first moment that the source does not cover.
        begins: The first plausible moment; None for no limit.
    """
    import great_expectations.expectations as gxe

    earliest = [] if begins is None else [begins.isoformat()]
    return [
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column="timestamp", min_value=moment, description=f"be at or after {moment[:10]}"
            )
            for moment in earliest
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="timestamp", max_value=ends.isoformat(), strict_max=True
        ),
        gxe.ExpectColumnValuesToBeBetween(column="price", max_value=HIGHEST_AMOUNT),
        gxe.ExpectColumnValuesToBeBetween(column="discount", max_value=HIGHEST_AMOUNT),
    ]


def build_offer_expectations() -> "list[Expectation]":
    """Return the expectations of clean offers beyond their schema."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ends", column_B="starts"),
    ]


def build_raw_expectations(name: str) -> "list[Expectation]":
    """Return expectations that bound the known quirks of The Complete Journey's raw tables.

    Args:
        name: Name of the raw table; transactions also have the column `product_is_listed`.
    """
    import great_expectations.expectations as gxe

    if name == "transactions":
        between = gxe.ExpectColumnValuesToBeBetween
        return [
            between(column="quantity", min_value=1, mostly=0.99),
            between(column="quantity", max_value=100, mostly=0.99),
            between(column="sales_value", min_value=0, strict_min=True, mostly=0.99),
            gxe.ExpectColumnValuesToBeInSet(
                column="product_is_listed", value_set=[True], mostly=0.99
            ),
        ]
    if name == "coupons":
        every = ["coupon_upc", "product_id", "campaign_id"]
        return [gxe.ExpectCompoundColumnsToBeUnique(column_list=every, mostly=0.9)]
    if name == "products":
        return [
            gxe.ExpectColumnValuesToNotBeNull(column=column, mostly=0.99)
            for column in ("product_category", "product_type")
        ]
    return []


def check_failures(
    validation: Validation,
    frame: "pd.DataFrame",
    maximum_fraction: float,
    *,
    where: str,
    n_rows: int | None = None,
) -> None:
    """Raise if a table as a whole, or too many of its rows, break an expectation.

    Args:
        validation: The outcome on `frame`.
        frame: The rows, with any columns that help a reader of the message.
        maximum_fraction: Largest share of failing rows.
        where: Noun phrase of the table.
        n_rows: Rows that the share refers to; None for those of `frame`.

    Raises:
        DataQualityError: With the expectation, the counts, the partition and the first rows.
    """
    as_a_whole = [failure for failure in validation.failures if not failure.rows]
    n_failing = len(validation.failing_rows)
    n_rows = validation.n_rows if n_rows is None else n_rows
    share = n_failing / max(n_rows, 1)
    if not as_a_whole and share <= maximum_fraction:
        return
    worst = max([*as_a_whole, *validation.failures], key=lambda f: (not f.rows, f.n_rows))
    raise DataQualityError(
        f"at most {maximum_fraction:.2%} of the rows of {where} to break an expectation",
        received=f"{n_failing:,} of {n_rows:,} rows ({share:.2%}); "
        f"'{worst.reason}' fails: {worst.observed}{_first_rows(worst, frame)}",
        action="Correct the source or its mapping; if the bad rows are expected, increase "
        "collection.maximum_failure_fraction. The tables of the last good run are unchanged.",
    )


def _first_rows(failure: Failure, frame: "pd.DataFrame") -> str:
    if not failure.rows:
        return ""
    shown = frame.drop(columns=list(PERSONAL), errors="ignore")
    first = shown.iloc[list(failure.rows[:N_SHOWN])].astype(str).to_dict("records")
    return "; first rows: " + " | ".join(str(row) for row in first)


def reasons_by_row(validation: Validation) -> dict[int, str]:
    """Return the reasons of each failing row, joined as text."""
    by_row: dict[int, list[str]] = {}
    for failure in validation.failures:
        for row in failure.rows:
            by_row.setdefault(row, []).append(failure.reason)
    return {row: "; ".join(sorted(reasons)) for row, reasons in sorted(by_row.items())}
