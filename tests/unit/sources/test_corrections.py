"""Declared corrections change the lines that they name, and no others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.collection.declared import count_corrections
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import CollectionParams, ShopParams, read_params
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source, open_source
from tests.support import tiny_shop

Lines = list[dict[str, Any]]
NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)


def line(**changes: Any) -> dict[str, Any]:
    row = {
        "user_id": "ann",
        "item_id": "milk",
        "timestamp": NOON,
        "event_type": "purchase",
        "quantity": 2.0,
        "price": 3.0,
        "discount": 0.5,
        "basket_id": "b1",
        "store_id": "s1",
    }
    return row | changes


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("data/corrections").mkdir(parents=True)
    return tmp_path


def sections(**changes: Any) -> tuple[CollectionParams, ShopParams]:
    values = tiny_shop.params()
    values["shop"]["timezone"] = "America/New_York"
    values["collection"] |= changes
    tables = values["collection"]["source"]["tables"]
    for name in list(tables):
        if not Path(f"data/source/{name}.parquet").exists():
            del tables[name]
    tiny_shop.write_params(Path("params.yaml"), values)
    params = read_params()
    return params.collection, params.shop


def write(name: str, rows: Lines) -> None:
    path = Path(f"data/source/{name}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path, index=False)


def correct(rows: Lines, *corrections: dict[str, Any], **changes: Any) -> Source:
    write("events", rows)
    return open_source(*sections(corrections=list(corrections), **changes))


def events(source: Source) -> Lines:
    order = ["timestamp", "user_id", "item_id", "price", "quantity", "basket_id"]
    columns = list(line())
    return fetch(source.events.order_by(order).select(*columns)).to_pylist()


def counts(source: Source) -> list[int]:
    return [count.n_lines for count in count_corrections(source)]


def write_map(text: str) -> dict[str, Any]:
    Path("data/corrections/ids.csv").write_text(f"old,new\n{text}")
    return {"kind": "rename", "column": "item_id", "file": "data/corrections/ids.csv"}


SCALE = {"kind": "scale", "column": "price", "factor": 0.01}


@pytest.mark.usefixtures("shop")
def test_prices_in_cents_of_some_days_become_units() -> None:
    first_of_april = datetime(2024, 4, 1, 4, tzinfo=UTC)  # midnight in New York
    rows = [
        line(timestamp=first_of_april - timedelta(seconds=1)),
        line(timestamp=first_of_april, price=300.0),
        line(timestamp=first_of_april + timedelta(days=1), price=3.0),
    ]
    source = correct(rows, SCALE | {"from": "2024-04-01", "to": "2024-04-02"})
    assert [row["price"] for row in events(source)] == [3.0, 3.0, 3.0]
    assert counts(source) == [1]


@pytest.mark.usefixtures("shop")
def test_a_store_is_corrected_alone_and_lines_without_a_store_are_not() -> None:
    rows = [line(store_id=store) for store in ("s1", "s2", None)]
    source = correct(rows, SCALE | {"store_id": "s2"})
    assert {row["store_id"]: row["price"] for row in events(source)} == {
        "s1": 3.0,
        "s2": pytest.approx(0.03),
        None: 3.0,
    }


@pytest.mark.usefixtures("shop")
def test_days_are_those_that_were_delivered_also_after_a_shift() -> None:
    days = {"from": "2024-03-05", "to": "2024-03-06"}
    shift = {"kind": "shift", "hours": 48.0}
    source = correct([line()], shift | days, SCALE | days)
    (row,) = events(source)
    assert (row["timestamp"], row["price"]) == (NOON + timedelta(hours=48), pytest.approx(0.03))
    assert counts(source) == [1, 1]


@pytest.mark.usefixtures("shop")
def test_exact_repeats_are_dropped_and_near_ones_are_not() -> None:
    near = [
        line(user_id="bob"),
        line(item_id="tea"),
        line(timestamp=NOON + timedelta(seconds=1)),
        line(event_type="view"),
        line(quantity=3.0),
        line(price=4.0),
        line(basket_id="b2"),
    ]
    repeats = [line(), line(discount=0.0), line(store_id="s2")]
    source = correct([line(), *near, *repeats], {"kind": "deduplicate"})
    assert len(events(source)) == 1 + len(near)
    assert counts(source) == [3]


@pytest.mark.usefixtures("shop")
def test_lines_of_named_users_are_dropped_and_lines_of_nobody_are_not() -> None:
    rows = [line(), line(user_id="bot"), line(user_id=None)]
    source = correct(rows, {"kind": "drop_users", "users": ["bot", "other"]})
    assert {row["user_id"] for row in events(source)} == {"ann", None}
    assert counts(source) == [1]


@pytest.mark.usefixtures("shop")
def test_ids_are_renamed_at_once_not_in_a_chain() -> None:
    rows = [line(item_id=item) for item in ("a", "b", "c", None)]
    source = correct(rows, write_map("a,b\nb,a\n"))
    assert [row["item_id"] for row in events(source)] == ["a", "b", "c", None]
    assert counts(source) == [2]


@pytest.mark.usefixtures("shop")
def test_offers_and_descriptions_follow_a_rename_of_items() -> None:
    described = {"department": "D", "category": "C", "type": "T", "brand": "B"}
    write("items", [{"item_id": name, "title": name} | described for name in ("old", "kept")])
    starts = {"starts": NOON, "ends": NOON + timedelta(days=7), "kind": "mailer"}
    write("offers", [{"item_id": "old"} | starts, {"item_id": "other"} | starts])
    source = correct([line(item_id="old")], write_map("old,new\nother,kept\n"))
    assert set(fetch(source.offers)["item_id"].to_pylist()) == {"new", "kept"}
    titles = {row["item_id"]: row["title"] for row in fetch(source.items).to_pylist()}
    assert titles == {"old": "old", "kept": "kept", "new": "old"}


@pytest.mark.usefixtures("shop")
def test_a_rename_that_merges_two_active_ids_is_counted() -> None:
    rows = [line(item_id=item) for item in ("a", "b", "b", "c")]
    source = correct(rows, write_map("a,x\nb,x\nc,y\nd,y\n"))
    (count,) = count_corrections(source)
    assert (count.n_lines, count.n_merged_ids) == (4, 1)  # d has no line


@pytest.mark.usefixtures("shop")
def test_a_missing_id_map_is_an_error_before_the_source_is_read() -> None:
    rename = {"kind": "rename", "column": "item_id", "file": "data/corrections/none.csv"}
    params, shop = sections(corrections=[rename])  # there is no source at all
    with pytest.raises(SourceError, match=r"data/corrections/none\.csv.*no such file"):
        open_source(params, shop)


@pytest.mark.usefixtures("shop")
def test_held_out_lines_are_in_no_other_table_and_keep_what_was_delivered() -> None:
    rows = [line(), line(timestamp=NOON + timedelta(days=1), price=300.0), line(timestamp=None)]
    member = {"from": "2024-03-06", "because": "cents"}
    source = correct(rows, SCALE, quarantined=[member])
    assert source.held_out is not None
    (held,) = fetch(source.held_out).to_pylist()
    assert (held["price"], held["evergreen_member"]) == (300.0, 0)
    assert len(events(source)) == len(fetch(source.raw["events"])) == 2


ROWS = st.lists(
    st.builds(
        line,
        user_id=st.sampled_from(["ann", "bob", None]),
        item_id=st.sampled_from(["milk", "tea"]),
        timestamp=st.datetimes(datetime(2024, 1, 1), datetime(2024, 6, 1)).map(  # noqa: DTZ001
            lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
        ),
        price=st.sampled_from([1.0, 2.5, None]),
        store_id=st.sampled_from(["s1", "s2"]),
    ),
    min_size=1,
    max_size=12,
)
LIMITS = st.sampled_from([{}, {"store_id": "s1"}, {"from": "2024-02-01", "to": "2024-04-01"}])
few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


def corrected(place: Path, rows: Lines, *corrections: dict[str, Any]) -> Lines:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return events(correct(rows, *corrections))


@few
@given(rows=ROWS, limits=LIMITS, factor=st.floats(0.001, 1000))
def test_scaling_back_restores_the_prices(
    place: Path, rows: Lines, limits: dict[str, Any], factor: float
) -> None:
    there, back = (SCALE | limits | {"factor": value} for value in (factor, 1 / factor))
    for before, after in zip(
        corrected(place, rows), corrected(place, rows, there, back), strict=True
    ):
        assert after == before | {"price": before["price"] and pytest.approx(before["price"])}


@few
@given(rows=ROWS, limits=LIMITS, hours=st.floats(-1000, 1000).filter(lambda h: abs(h) > 0.001))
def test_shifting_back_restores_the_times(
    place: Path, rows: Lines, limits: dict[str, Any], hours: float
) -> None:
    shifts = [{"kind": "shift", "hours": value} | limits for value in (hours, -hours)]
    assert corrected(place, rows, *shifts) == corrected(place, rows)


@few
@given(rows=ROWS, limits=LIMITS, repeats=st.integers(1, 3))
def test_dropping_repeats_twice_is_dropping_them_once(
    place: Path, rows: Lines, limits: dict[str, Any], repeats: int
) -> None:
    once = {"kind": "deduplicate"} | limits
    first = corrected(place, rows * repeats, once)
    assert corrected(place, rows * repeats, once, once) == first
    if not limits:
        assert first == corrected(place, rows, once)
