"""Collection of bad data: rows are quarantined, and too many of them stop the pipeline."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.collection.__main__ import main
from pipeline.contracts import artefacts
from pipeline.contracts.params import read_params
from pipeline.planning.history import microseconds, read_history
from pipeline.sources import open_source
from tests.support import tiny_shop
from tests.support.collected import (
    N_ALL,
    Change,
    change,
    first_of_february,
    put,
    quarantined,
    report,
    state,
    write_params,
)

pytestmark = pytest.mark.slow

BAD_ROWS: dict[str, tuple[str, object, str]] = {
    "a missing price": ("price", None, "price: not be null"),
    "a negative price": ("price", -0.01, "price: be between"),
    "an infinite price": ("price", np.inf, "price: be between"),
    "a negative quantity": ("quantity", -1.0, "quantity: be between"),
    "a negative discount": ("discount", -1.0, "discount: be between"),
    "nobody": ("user_id", None, "user_id: not be null"),
    "nothing": ("item_id", None, "item_id: not be null"),
    "no time": ("timestamp", pd.NaT, "timestamp: not be null"),
    "the far future": ("timestamp", pd.Timestamp("2031-01-01", tz="UTC"), "timestamp: be between"),
    "an unknown event": ("event_type", "wish", "event_type: be in set"),
}


@pytest.mark.usefixtures("shop")
def test_bad_rows_are_set_aside_with_their_reasons_and_none_is_lost() -> None:
    wanted: dict[str, int] = {}
    for number, (column, value, reason) in enumerate(BAD_ROWS.values()):
        rows = [number * 500, number * 500 + 250]  # far apart: in different months
        change("events", put(column, value, rows))
        wanted[reason] = wanted.get(reason, 0) + 2
    assert main([]) == 0
    numbers = report()["events"]
    assert numbers["reasons"] == wanted
    assert (numbers["n_in"], numbers["n_quarantined"], numbers["n_rows"]) == (N_ALL, 20, N_ALL - 20)
    set_aside = quarantined()
    assert set_aside["reasons"].value_counts().to_dict() == wanted
    assert set(set_aside.columns) >= {"user_id", "item_id", "timestamp", "price", "reasons"}
    assert len(artefacts.read_table(artefacts.EVENTS)) == N_ALL - 20
    text = artefacts.page("collection").path.read_text(encoding="utf-8")
    assert "price: not be null" in text


@pytest.mark.usefixtures("shop")
def test_a_price_that_is_not_a_number_is_set_aside() -> None:
    path = Path("data/source/events.parquet")
    table = pq.read_table(path)
    prices = table["price"].to_numpy().copy()
    prices[[0, 100]] = np.nan
    column = pa.array(prices, pa.float64(), from_pandas=False)
    table = table.set_column(table.column_names.index("price"), "price", column)
    pq.write_table(table, path)
    assert table["price"].null_count == 0  # NaN is not null
    assert main([]) == 0
    assert report()["events"]["reasons"] == {"price: not be null": 2}


@pytest.mark.usefixtures("shop")
def test_prices_as_text_are_read_and_what_is_no_number_is_set_aside() -> None:
    def as_text(frame: pd.DataFrame) -> pd.DataFrame:
        texts = frame["price"].astype(str)
        texts.iloc[7] = "three"
        return frame.assign(price=texts)

    change("events", as_text)
    assert main([]) == 0
    assert report()["events"]["reasons"] == {"price: not be null": 1}
    assert len(artefacts.read_table(artefacts.EVENTS)) == N_ALL - 1


@pytest.mark.usefixtures("shop")
def test_what_rules_drop_and_what_is_set_aside_adds_up() -> None:
    def worse(frame: pd.DataFrame) -> pd.DataFrame:
        again = frame.iloc[[10, 11, 12]]
        fuel = frame.iloc[[20, 21, 22, 23]].assign(item_id="item-fuel")
        none = frame.iloc[[30, 31]].assign(quantity=0.0)
        many = frame.iloc[[40]].assign(quantity=101.0)
        unheard = frame.iloc[[50, 51]].assign(item_id="item-new")
        wrong = frame.iloc[[60, 61, 62]].assign(price=-1.0)
        return pd.concat([frame, again, fuel, none, many, unheard, wrong])

    def with_fuel(frame: pd.DataFrame) -> pd.DataFrame:
        fuel = frame.iloc[[0]].assign(item_id="item-fuel", department="FUEL")
        return pd.concat([frame, fuel])

    change("events", worse)
    change("items", with_fuel)
    assert main([]) == 0
    numbers = report()
    assert numbers["events"]["dropped"] == {
        "dropped department": 4,
        "exact duplicate": 3,
        "quantity above the maximum": 1,
        "quantity of zero": 2,
    }
    assert numbers["events"]["reasons"] == {"price: be between": 3}
    assert numbers["events"]["n_in"] == N_ALL + 15
    assert numbers["events"]["n_rows"] == N_ALL + 2
    assert (numbers["totals"]["n_catalogue"], numbers["totals"]["n_unknown_items"]) == (61, 1)
    items = artefacts.read_table(artefacts.ITEMS)["item_id"].tolist()
    assert "item-new" in items
    assert "item-fuel" not in items


@pytest.mark.usefixtures("shop")
def test_as_many_bad_rows_as_allowed_pass_and_one_more_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    change("events", put("price", -2.0, first_of_february(16)))  # 1 % of 1690 rows are 16.9
    assert main([]) == 0
    assert report()["events"]["n_quarantined"] == 16
    before = state()
    change("events", put("price", -2.0, first_of_february(17)))
    assert main([]) == 1
    assert state() == before
    assert "DataQualityError" not in caplog.text  # a sentence, not a traceback
    for part in ("at most 1.00%", "'events 2024-02'", "17 of 1,690", "'price: be between'", "-2.0"):
        assert part in caplog.text
    assert "maximum_failure_fraction" in caplog.text


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def frame_change(how: Change) -> Callable[[Path], None]:
    def changed(path: Path) -> None:
        how(pd.read_parquet(path)).to_parquet(path, index=False)

    return changed


def all_dropped(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(quantity=0.0)


def weekdays(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(timestamp=frame["timestamp"].dt.dayofweek)


BAD_FILES: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "a column is gone": (
        "events",
        frame_change(lambda frame: frame.drop(columns="price")),
        ("events.parquet", "missing: ['price']", "collection.source.tables"),
    ),
    "a column has another name": (
        "events",
        frame_change(lambda frame: frame.rename(columns={"user_id": "household"})),
        ("missing: ['user_id']", "household", "collection.source.tables"),
    ),
    "a column of offers is gone": (
        "offers",
        frame_change(lambda frame: frame.drop(columns="starts")),
        ("offers.parquet", "missing: ['starts']"),
    ),
    "the events are missing": ("events", Path.unlink, ("events.parquet", "no such file")),
    "the items are missing": ("items", Path.unlink, ("items.parquet", "no such file")),
    "a file is cut short": ("events", cut, ("events.parquet", "damaged or truncated")),
    "a file has no bytes": (
        "users",
        lambda path: path.write_bytes(b"") and None,
        ("users.parquet", "damaged or truncated"),
    ),
    "a file is something else": (
        "events",
        lambda path: path.write_text("user_id,item_id\n") and None,
        ("events.parquet", "damaged or truncated"),
    ),
    "the events have no rows": (
        "events",
        frame_change(lambda frame: frame.iloc[:0]),
        ("Expected a source with events", "an empty table"),
    ),
    "every row is dropped": (
        "events",
        frame_change(all_dropped),
        ("Expected clean events", "drop every row"),
    ),
    "times are weekdays": (
        "events",
        frame_change(weekdays),
        ("Expected times in the column 'timestamp'", "int32", "no value can be read: '0', '1'"),
    ),
    "all times lie in the future": (
        "events",
        frame_change(lambda f: f.assign(timestamp=f["timestamp"] + pd.Timedelta(days=3650))),
        ("to break an expectation", "timestamp: be between"),
    ),
    "all item ids are missing": (
        "events",
        frame_change(lambda frame: frame.assign(item_id=None)),
        ("to break an expectation", "item_id: not be null"),
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.usefixtures("shop")
def test_a_bad_file_is_a_clear_error_and_the_last_good_state_stays(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    table, harm, words = BAD_FILES[name]
    before = state()
    harm(Path(f"data/source/{table}.parquet"))
    assert main([]) == 1
    assert state() == before
    for part in words:
        assert part in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.usefixtures("shop")
def test_without_the_other_tables_events_are_enough() -> None:
    source = tiny_shop.params()["collection"]["source"]
    write_params(Path(), source=source | {"tables": {"events": {"file": "events.parquet"}}})
    assert main([]) == 0
    assert len(artefacts.read_table(artefacts.ITEMS)) == 60
    assert len(artefacts.read_table(artefacts.USERS)) == 80
    assert len(artefacts.read_table(artefacts.OFFERS)) == 0


@pytest.mark.usefixtures("shop")
def test_an_item_that_is_listed_twice_alike_is_one_item() -> None:
    before = state("data/clean/items.parquet", "data/clean/events", "data/quarantine")
    change("items", lambda frame: pd.concat([frame, frame.iloc[[4]]]))
    assert main([]) == 0
    assert state("data/clean/items.parquet", "data/clean/events", "data/quarantine") == before


@pytest.mark.usefixtures("shop")
def test_a_second_description_of_an_item_or_a_user_is_set_aside() -> None:
    write_params(Path(), maximum_failure_fraction=0.05)
    change("items", lambda f: pd.concat([f, f.iloc[[4]].assign(title="Another")]))
    change("users", lambda f: pd.concat([f, f.iloc[[2]].assign(age="65+")]))
    assert main([]) == 0
    for name, label, kept in (("items", "title", "Product 4"), ("users", "age", "45-54")):
        bad = quarantined(name)
        assert bad["reasons"].tolist() == [f"{name[:-1]}_id: be unique"]
        assert report()["whole"][name]["n_failing"] == 1
        clean = pd.read_parquet(f"data/clean/{name}.parquet")
        assert clean[clean[clean.columns[0]] == bad.iloc[0, 0]][label].tolist() == [kept]
    before = state()
    assert main([]) == 0
    assert state() == before


@pytest.mark.usefixtures("shop")
def test_more_second_descriptions_than_allowed_stop(caplog: pytest.LogCaptureFixture) -> None:
    before = state()
    change("items", lambda f: pd.concat([f, f.iloc[[4]].assign(title="Another")]))  # 1 in 61
    assert main([]) == 1
    assert "'item_id: be unique'" in caplog.text
    assert state() == before


@pytest.mark.usefixtures("shop")
def test_rows_without_a_valid_time_count_against_the_whole_table(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """52 of 5,282 rows are 1 %; of the last month alone they are 2.9 %."""
    old, new = pd.Timestamp("1970-01-01", tz="UTC"), pd.Timestamp("1900-01-01", tz="UTC")
    change("events", put("timestamp", old, list(range(25))))
    change("events", put("timestamp", new, list(range(25, 52))))
    assert main([]) == 0
    assert set(quarantined()["reasons"]) == {"timestamp: be at or after 1990-01-01"}
    assert [month["month"] for month in report()["months"]] == ["2024-01", "2024-02", "2024-03"]
    assert report()["totals"]["first"] == "2024-01-01"
    params = read_params()
    history = read_history(open_source(params.collection, params.shop), params)
    assert history.time.min() >= microseconds(tiny_shop.START)
    change("events", put("timestamp", old, [52]))
    assert main([]) == 1
    assert "rows of all events" in caplog.text
    assert "53 of 5,282 rows" in caplog.text


@pytest.mark.usefixtures("shop")
def test_unreadable_values_are_in_the_quarantine_and_in_the_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def as_text(frame: pd.DataFrame) -> pd.DataFrame:
        texts = frame["timestamp"].dt.strftime("%d.%m.%Y %H:%M")
        texts.iloc[7] = "31.02.2024 10:00"
        return frame.assign(timestamp=texts, price=frame["price"].astype(str))

    change("events", as_text)
    assert main([]) == 0
    (row,) = quarantined().to_dict("records")
    assert row["unread"] == "timestamp '31.02.2024 10:00'"
    assert report()["read_as"] == {"events.timestamp": "day first"}
    assert "day first" in artefacts.page("collection").path.read_text(encoding="utf-8")
    change("events", put("price", "three", first_of_february(100)))
    assert main([]) == 1
    assert "price 'three'" in caplog.text
