"""A retailer's files in the contract's columns."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import (
    CollectionParams,
    ShopParams,
    SourceParams,
    TableSource,
    read_params,
)
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import open_source

ROOT = Path(__file__).parents[3]
COLUMNS = {"user_id": "customer", "item_id": "sku", "timestamp": "sold_at", "price": "unit_price"}
EVENTS = "customer,sku,sold_at,unit_price,units\n1,A,2017-07-01 20:00:00,2.5,3\n2,B,nonsense,x,1\n"


@pytest.fixture
def shop() -> ShopParams:
    return read_params(ROOT / "params.yaml").shop


def params(folder: Path, **tables: TableSource) -> CollectionParams:
    source = SourceParams(
        kind="files", path=str(folder), timestamps_are="local", ends=date(2018, 1, 1), tables=tables
    )
    section = read_params(ROOT / "params.yaml").collection
    return section.model_copy(update={"source": source})


def events(folder: Path, text: str = EVENTS, **more: str) -> TableSource:
    (folder / "sales.csv").write_text(text)
    return TableSource(file="sales.csv", columns=COLUMNS | more)


def test_columns_are_mapped_times_are_utc_and_the_rest_has_defaults(
    tmp_path: Path, shop: ShopParams
) -> None:
    source = open_source(params(tmp_path, events=events(tmp_path, quantity="units")), shop)
    first, _ = fetch(source.events.order_by("item_id")).to_pylist()
    assert first == {
        "user_id": "1",
        "item_id": "A",
        "timestamp": datetime(2017, 7, 2, 0, 0, tzinfo=UTC),
        "event_type": "purchase",
        "quantity": 3.0,
        "price": 2.5,
        "discount": 0.0,
        "basket_id": None,
        "session_id": None,
        "store_id": None,
        "source": "sales.csv",
        "unread": None,
    }
    assert source.ends == datetime(2018, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_times_with_a_zone_are_read_in_every_unit(
    tmp_path: Path, shop: ShopParams, unit: str, zone: str
) -> None:
    moment = pd.Timestamp("2017-07-01 20:00:05", tz="UTC")
    sold_at = pd.Series([moment]).dt.tz_convert(zone).dt.as_unit(unit)
    columns = {"customer": ["1"], "sku": ["A"], "unit_price": [2.5]}
    pd.DataFrame(columns).assign(sold_at=sold_at).to_parquet(tmp_path / "sales.parquet")
    table = TableSource(file="sales.parquet", columns=COLUMNS)
    source = open_source(params(tmp_path, events=table), shop)
    (row,) = fetch(source.events).to_pylist()
    assert row["timestamp"] == moment


def test_what_cannot_be_read_becomes_null(tmp_path: Path, shop: ShopParams) -> None:
    source = open_source(params(tmp_path, events=events(tmp_path)), shop)
    _, second = fetch(source.events.order_by("item_id")).to_pylist()
    assert (second["timestamp"], second["price"]) == (None, None)


def test_without_items_the_events_name_them_and_other_tables_are_empty(
    tmp_path: Path, shop: ShopParams
) -> None:
    source = open_source(params(tmp_path, events=events(tmp_path)), shop)
    assert sorted(fetch(source.items)["item_id"].to_pylist()) == ["A", "B"]
    assert len(fetch(source.users)) == len(fetch(source.offers)) == 0


def test_all_other_columns_of_users_are_attributes(tmp_path: Path, shop: ShopParams) -> None:
    pd.DataFrame({"id": [1], "city": ["Oslo"]}).to_parquet(tmp_path / "users.parquet")
    users = TableSource(file="users.parquet", columns={"user_id": "id"})
    source = open_source(params(tmp_path, events=events(tmp_path), users=users), shop)
    assert fetch(source.users).to_pylist() == [{"user_id": "1", "city": "Oslo"}]


def test_a_renamed_column_is_named(tmp_path: Path, shop: ShopParams) -> None:
    text = EVENTS.replace("unit_price", "amount")
    with pytest.raises(SourceError, match=r"missing: \['unit_price'\]"):
        open_source(params(tmp_path, events=events(tmp_path, text)), shop)


def test_a_missing_file_is_named(tmp_path: Path, shop: ShopParams) -> None:
    with pytest.raises(SourceError, match=r"sales\.csv.*no such file"):
        open_source(params(tmp_path, events=TableSource(file="sales.csv")), shop)


def test_a_source_without_events_is_refused(tmp_path: Path, shop: ShopParams) -> None:
    with pytest.raises(SourceError, match=r"tables\.events"):
        open_source(params(tmp_path, users=TableSource(file="users.csv")), shop)


@pytest.mark.parametrize(
    ("column", "advice"),
    [("quantitiy", "Write `quantity`"), ("colour", "Correct or remove it"), ("source", "Correct")],
)
def test_an_unknown_name_in_a_mapping_is_refused_with_a_near_one(
    tmp_path: Path, shop: ShopParams, column: str, advice: str
) -> None:
    table = events(tmp_path, **{column: "units"})
    with pytest.raises(SourceError, match=rf"basket_id.*got '{column}'\. {advice}"):
        open_source(params(tmp_path, events=table), shop)
