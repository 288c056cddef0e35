"""Each rule drops the rows that its name describes, and no others."""

# ruff: noqa: DTZ001  the engine's own times have no zone

from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import pytest

from pipeline.collection.rules import EVENT_RULES, tag_events, tag_offers
from pipeline.contracts import schemas
from pipeline.contracts.params import CollectionParams, read_params

ROOT = Path(__file__).parents[3]
NOON = datetime(2017, 3, 1, 12)
ITEMS = [("milk", "GROCERY"), ("petrol", "FUEL"), ("tea", None)]


@pytest.fixture
def params() -> CollectionParams:
    return read_params(ROOT / "params.yaml").collection


def event(**changes: Any) -> dict[str, Any]:
    row = {
        "user_id": "u",
        "item_id": "milk",
        "timestamp": NOON,
        "event_type": "purchase",
        "quantity": 1.0,
        "price": 2.0,
        "discount": 0.0,
        "basket_id": "b",
        "session_id": None,
        "store_id": "s",
        "source": "test",
    }
    return row | changes


def items() -> Any:
    rows = [{"item_id": item, "department": department} for item, department in ITEMS]
    return ibis.memtable(rows, schema={"item_id": "string", "department": "string"})


def table(rows: list[dict[str, Any]]) -> Any:
    types = {"timestamp": "timestamp(6)", "quantity": "float64", "price": "float64"}
    types["discount"] = "float64"
    schema = {name: types.get(name, "string") for name in schemas.EVENTS.names()}
    return ibis.memtable(rows, schema=schema)


def rules_of(rows: list[dict[str, Any]], params: CollectionParams) -> list[str | None]:
    tagged = tag_events(table(rows), items(), params).to_pyarrow()
    return sorted(tagged["rule"].to_pylist(), key=str)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (event(item_id="petrol"), "dropped department"),
        (event(quantity=0.0), "quantity of zero"),
        (event(quantity=101.0), "quantity above the maximum"),
        (event(item_id="petrol", quantity=20000.0), "dropped department"),
    ],
)
def test_a_row_is_dropped_by_the_first_rule_that_fits(
    row: dict[str, Any], rule: str, params: CollectionParams
) -> None:
    assert rules_of([row], params) == [rule]


@pytest.mark.parametrize(
    "row",
    [
        event(),
        event(quantity=100.0),
        event(price=0.0),
        event(item_id="never listed"),
        event(item_id="tea"),
        event(event_type="view", quantity=0.0),
        event(price=float("nan")),
        event(quantity=float("nan")),
    ],
)
def test_other_rows_are_left_to_the_expectations(
    row: dict[str, Any], params: CollectionParams
) -> None:
    assert rules_of([row], params) == [None]


def test_of_three_equal_rows_one_is_kept(params: CollectionParams) -> None:
    rows = [event(), event(), event(), event(price=3.0)]
    assert rules_of(rows, params) == [None, None, "exact duplicate", "exact duplicate"]


def test_a_number_that_is_not_one_becomes_null(params: CollectionParams) -> None:
    tagged = tag_events(table([event(price=float("nan"))]), items(), params).to_pyarrow()
    assert tagged["price"].to_pylist() == [None]


def test_every_rule_is_seen_in_these_tests() -> None:
    seen = {"dropped department", "quantity of zero", "quantity above the maximum"}
    assert set(EVENT_RULES) == seen | {"exact duplicate"}


def test_offers_of_unknown_and_dropped_items_are_dropped(params: CollectionParams) -> None:
    schema = {"item_id": "string", "starts": "timestamp(6)"}
    ids = ["milk", "petrol", "sold but not listed", "nowhere", "milk"]
    offers = ibis.memtable([{"item_id": item, "starts": NOON} for item in ids], schema=schema)
    sold = table([event(item_id="sold but not listed")])
    tagged = tag_offers(offers, items(), sold, params).order_by("item_id", "rule").to_pyarrow()
    assert list(zip(tagged["item_id"].to_pylist(), tagged["rule"].to_pylist(), strict=True)) == [
        ("milk", "exact duplicate"),
        ("milk", None),
        ("nowhere", "unknown item"),
        ("petrol", "dropped department"),
        ("sold but not listed", None),
    ]
