"""Months follow the shop's calendar; a month's digest depends on its rows only."""

# ruff: noqa: DTZ001  the engine's own times have no zone

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pytest

from pipeline.collection.partitions import add_partition, hash_contents, months_between
from pipeline.contracts.params import ShopParams, read_params

ROOT = Path(__file__).parents[3]
ENDS = datetime(2017, 4, 1, 4, tzinfo=UTC)  # midnight in New York


@pytest.fixture
def shop() -> ShopParams:
    return read_params(ROOT / "params.yaml").shop


def table(*times: datetime | None) -> Any:
    rows = [{"id": str(n), "time": time} for n, time in enumerate(times)]
    return ibis.memtable(rows, schema={"id": "string", "time": "timestamp(6)"})


def months(*times: datetime | None, shop: ShopParams) -> list[str]:
    rows = add_partition(table(*times), "time", ENDS, shop).order_by("id").to_pyarrow()
    return [str(name) for name in rows["partition"].to_pylist()]


def test_the_last_evening_of_a_month_belongs_to_it_although_utc_is_a_day_ahead(
    shop: ShopParams,
) -> None:
    # New York is five hours behind UTC in winter, four in summer.
    evening, midnight = datetime(2017, 3, 1, 4, 59, 59), datetime(2017, 3, 1, 5)
    assert months(evening, midnight, shop=shop) == ["2017-02", "2017-03"]


def test_rows_without_a_time_or_from_the_future_go_to_no_month(shop: ShopParams) -> None:
    times = (datetime(2017, 2, 3), datetime(2017, 3, 3), None, datetime(2099, 1, 1))
    assert months(*times, shop=shop) == ["2017-02", "2017-03", "undated", "undated"]


def test_rows_before_the_source_begins_make_no_months(shop: ShopParams) -> None:
    rows = table(datetime(1900, 1, 1), datetime(2017, 3, 3))
    begins = datetime(1990, 1, 1, tzinfo=UTC)
    parts = add_partition(rows, "time", ENDS, shop, begins).order_by("id").to_pyarrow()
    assert parts["partition"].to_pylist() == ["undated", "2017-03"]


def test_a_table_without_a_usable_time_has_one_partition(shop: ShopParams) -> None:
    assert months(None, datetime(2099, 1, 1), shop=shop) == ["undated", "undated"]


def test_months_cross_the_turn_of_the_year(shop: ShopParams) -> None:
    first, last = datetime(2016, 11, 5, tzinfo=UTC), datetime(2017, 1, 5, tzinfo=UTC)
    assert list(months_between(first, last, shop)) == ["2016-11", "2016-12", "2017-01"]


def test_the_digest_ignores_the_order_of_rows() -> None:
    rows = table(datetime(2017, 2, 3), datetime(2017, 2, 4)).mutate(partition=ibis.literal("a"))
    assert hash_contents(rows) == hash_contents(rows.order_by(ibis.desc("time")))


@pytest.mark.parametrize(
    "changed",
    [
        table(datetime(2017, 2, 3), datetime(2017, 2, 5)),
        table(datetime(2017, 2, 3), None),
        table(datetime(2017, 2, 3)),
    ],
)
def test_the_digest_changes_with_any_value(changed: Any) -> None:
    rows = table(datetime(2017, 2, 3), datetime(2017, 2, 4))
    label = ibis.literal("a")
    assert hash_contents(rows.mutate(partition=label)) != hash_contents(
        changed.mutate(partition=label)
    )
