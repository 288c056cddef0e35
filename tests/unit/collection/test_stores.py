"""Offers of single stores become a share of the stores with sales."""

# ruff: noqa: DTZ001  the engine's own times have no zone

from datetime import datetime
from typing import Any

import ibis
import pytest

from pipeline.collection.rules import tag_offers
from pipeline.collection.stores import MERGED, UNKNOWN, add_store_shares
from pipeline.contracts import schemas
from pipeline.contracts.params import read_params
from pipeline.runtime.sql_engine import materialise
from tests.support.tiny_shop import PROJECT

JANUARY, FEBRUARY = datetime(2024, 1, 1), datetime(2024, 2, 1)


def offer(item: str, store: str | None, **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(schemas.OFFERS.names(), None)
    row |= {"item_id": item, "starts": JANUARY, "ends": FEBRUARY, "kind": "mailer"}
    return row | {"store_fraction": 1.0, "store_id": store} | changes


def events(*stores: str | None) -> Any:
    rows = [{"item_id": "milk", "store_id": store} for store in stores]
    return materialise(ibis.memtable(rows, schema={"item_id": "string", "store_id": "string"}))


def shares(rows: list[dict[str, Any]], *stores: str | None) -> list[tuple[Any, ...]]:
    """Return item, store_fraction, store and rule of each row, kept rows first."""
    types = {"starts": "timestamp(6)", "ends": "timestamp(6)"}
    types |= dict.fromkeys(["store_fraction", "audience_fraction"], "float64")
    schema = {name: types.get(name, "string") for name in schemas.OFFERS.names()}
    items = ibis.memtable({"item_id": ["milk", "tea"], "department": ["FOOD", "FOOD"]})
    sales = events(*stores)
    params = read_params(PROJECT / "params.yaml").collection
    tagged = materialise(tag_offers(ibis.memtable(rows, schema=schema), items, sales, params))
    rows_of_stores = add_store_shares(tagged, sales).to_pyarrow().to_pylist()
    names = ("item_id", "store_fraction", "store_id", "rule")
    return sorted((tuple(row[name] for name in names) for row in rows_of_stores), key=str)


def kept(rows_of_stores: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row[:3] for row in rows_of_stores if row[3] is None]


def test_an_offer_of_one_store_is_not_the_chains() -> None:
    assert kept(shares([offer("milk", "a")], "a", "b", "c", "d")) == [("milk", 0.25, None)]


def test_rows_of_several_stores_are_one_offer() -> None:
    rows = [offer("milk", store) for store in ("a", "b", "c")] + [offer("tea", "b")]
    rows_of_stores = shares(rows, "a", "b", "c", "d", None)
    assert kept(rows_of_stores) == [("milk", 0.75, None), ("tea", 0.25, None)]
    assert sum(row[3] == MERGED for row in rows_of_stores) == 2


def test_the_chains_own_offer_stays_as_it_is() -> None:
    rows = [offer("milk", None, store_fraction=0.9), offer("milk", "a", store_fraction=0.9)]
    assert kept(shares(rows, "a", "b")) == [("milk", 0.5, None), ("milk", 0.9, None)]


@pytest.mark.parametrize(
    "other", [{"kind": "display"}, {"ends": datetime(2024, 3, 1)}, {"audience": "club"}]
)
def test_what_differs_is_another_offer(other: dict[str, Any]) -> None:
    rows = [offer("milk", "a"), offer("milk", "b", **other)]
    assert kept(shares(rows, "a", "b")) == [("milk", 0.5, None)] * 2


def test_a_store_counts_once() -> None:
    rows = [offer("milk", "a"), offer("milk", "a"), offer("milk", "a", store_fraction=0.3)]
    assert kept(shares(rows, "a", "b")) == [("milk", 0.5, None)]


@pytest.mark.parametrize("stores", [("a", "b"), (None,)])
def test_a_store_that_sells_nothing_has_no_offer(stores: tuple[str | None, ...]) -> None:
    rows_of_stores = shares([offer("milk", "closed")], *stores)
    assert rows_of_stores == [("milk", 1.0, "closed", UNKNOWN)]


def test_offers_without_stores_come_back_untouched() -> None:
    rows = [offer("milk", None, store_fraction=0.3), offer("tea", None)]
    assert kept(shares(rows, "a")) == [("milk", 0.3, None), ("tea", 1.0, None)]
