"""Long raw tables are checked on a sample, whatever the types of their columns."""

import random
from typing import Any

import ibis
import pytest

from pipeline.collection.raw_checks import sample


def table(ids: list[Any]) -> Any:
    return ibis.memtable({"user_id": ids, "item_id": random.Random(0).sample(ids, len(ids))})


@pytest.mark.parametrize("ids", [list(range(1000)), [f"u-{n}" for n in range(1000)]])
def test_about_one_row_in_ten_is_sampled_and_always_the_same(ids: list[Any]) -> None:
    rows, one_in = sample(table(ids), limit=100)
    assert one_in == 10
    first, second = (rows.order_by("user_id").to_pyarrow() for _ in range(2))
    assert first.equals(second)
    assert 50 <= len(first) <= 150


def test_a_short_table_is_checked_whole() -> None:
    rows, one_in = sample(table(["a", "b"]), limit=2)
    assert (one_in, rows.count().to_pyarrow().as_py()) == (1, 2)
