"""Collection from end to end on the tiny shop: good data, bad data, and interruptions."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.collection import collecting, months
from pipeline.collection import report as reporting
from pipeline.collection.__main__ import main
from pipeline.contracts import artefacts
from pipeline.event_store.suppression import SuppressionList, entry_of, write_suppressed
from pipeline.runtime.stage_cost import COSTS
from pipeline.validation import Validator
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

N_WEEKS = 13
AFTER = tiny_shop.START + timedelta(weeks=N_WEEKS)  # 2024-04-01: three whole months
N_EVENTS = {"2024-01": 1773, "2024-02": 1690, "2024-03": 1819}
N_ALL = 5282
Change = Callable[[pd.DataFrame], pd.DataFrame]


def write_params(folder: Path, **changes: Any) -> None:
    values = tiny_shop.params()
    values["shop"]["as_of"] = "2024-03-04"
    values["tracking"]["uri"] = "sqlite:////no/such/folder/mlflow.db"
    values["collection"] |= changes
    tiny_shop.write_params(folder / "params.yaml", values)


def source_events() -> pd.DataFrame:
    events = tiny_shop.events()
    return events[events["timestamp"] < AFTER].reset_index(drop=True)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected")
    source = folder / "data" / "source"
    tiny_shop.write_source(source)
    source_events().to_parquet(source / "events.parquet", index=False)
    offers = tiny_shop.offers()
    offers[offers["starts"] < AFTER].to_parquet(source / "offers.parquet", index=False)
    write_params(folder)
    tiny_shop.write_verdicts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([]) == 0
    return folder


@pytest.fixture
def shop_with_docs(collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has collected once."""
    shutil.copytree(collected, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shop(shop_with_docs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same; its Data Docs, which take longest, stay as they are."""
    monkeypatch.setattr(Validator, "write_docs", lambda *_: None)
    return shop_with_docs


def state(*roots: str) -> dict[str, str]:
    """The bytes of all that collection wrote but its costs; no temporary file is left either."""
    roots = roots or ("data/clean", "data/quarantine", "reports")
    assert not list(Path("data").glob(".*"))
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for root in roots
        for path in sorted(Path(root).rglob("*"))
        if path.is_file() and COSTS not in path.parents
    }


def change(name: str, how: Change) -> None:
    path = Path("data/source") / f"{name}.parquet"
    how(pd.read_parquet(path)).to_parquet(path, index=False)


def put(column: str, value: object, rows: slice | list[int]) -> Change:
    """A change of `column` in some rows, counted in the file's own order."""

    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[rows], column] = value
        return frame

    return changed


def report() -> dict[str, Any]:
    found: dict[str, Any] = artefacts.read_json(artefacts.COLLECTION_REPORT)
    return found


def quarantined(name: str = "events") -> pd.DataFrame:
    folder = artefacts.QUARANTINE.path
    files = sorted((folder / name).glob("*.parquet")) or sorted(folder.glob(f"{name}.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


@pytest.mark.usefixtures("shop")
def test_clean_tables_hold_the_shop() -> None:
    found = report()
    assert {month["month"]: month["n_rows"] for month in found["months"]} == N_EVENTS
    assert found["events"]["n_in"] == found["events"]["n_rows"] == N_ALL == sum(N_EVENTS.values())
    assert found["events"]["n_quarantined"] == 0
    assert found["offers"]["n_rows"] == N_WEEKS * 5
    totals = found["totals"]
    assert (totals["n_users"], totals["n_items"], totals["n_baskets"]) == (80, 60, 80 * N_WEEKS)
    assert (totals["first"], totals["last"]) == ("2024-01-01", "2024-03-31")
    assert totals["n_known_users"] == 40  # half of the shoppers are described
    assert artefacts.read_verdict("collection").status == "proceed"


@pytest.mark.usefixtures("shop")
def test_clean_rows_are_the_source_rows() -> None:
    order = ["timestamp", "user_id", "item_id"]
    columns = [*order, "event_type", "quantity", "price", "discount", "basket_id", "store_id"]
    clean = artefacts.read_table(artefacts.EVENTS, columns=columns).sort_values(order)
    wanted = source_events()[columns].sort_values(order)
    assert (clean.to_numpy() == wanted.to_numpy()).all()
    items = artefacts.read_table(artefacts.ITEMS).set_index("item_id")
    assert items.loc["item-07", "title"] == "Product 7"
    first = source_events().groupby("item_id")["timestamp"].min()
    assert (items["first_seen"] == first).all()
    users = artefacts.read_table(artefacts.USERS).set_index("user_id")
    assert len(users) == 80
    assert users.loc["user-00", "age"] == "45-54"
    assert users["age"].isna().sum() == 40


@pytest.mark.usefixtures("shop_with_docs")
def test_a_second_run_reuses_every_month_and_gives_the_same_bytes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = state()
    with caplog.at_level(logging.INFO, "evergreen"):
        assert main([]) == 0
    assert "all 6 months reused" in caplog.text
    assert state() == before


@pytest.mark.usefixtures("shop_with_docs")
def test_a_run_from_nothing_gives_the_same_bytes() -> None:
    before = state()
    for folder in ("data/clean", "data/quarantine", "reports/collection"):
        shutil.rmtree(folder)
    assert main([]) == 0
    assert state() == before


@pytest.mark.usefixtures("shop")
def test_only_the_month_that_changed_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    before = state("data/clean/events", "data/clean/offers")
    february = int((source_events()["timestamp"].dt.month == 2).idxmax())
    change("events", put("price", 99.0, [february]))
    with caplog.at_level(logging.INFO, "evergreen"):
        assert main([]) == 0
    assert "events: 3 months, 2 of them reused" in caplog.text
    assert "offers: 3 months, 3 of them reused" in caplog.text
    after = state("data/clean/events", "data/clean/offers")
    assert {name for name in before if before[name] != after[name]} == {
        "data/clean/events/2024-02.parquet"
    }
    assert pd.read_parquet("data/clean/events/2024-02.parquet")["price"].eq(99.0).sum() == 1


@pytest.mark.usefixtures("shop")
def test_the_order_of_the_source_rows_changes_no_table() -> None:
    before = state("data/clean/events", "data/clean/offers", "data/quarantine")
    change("events", lambda frame: frame.sample(frac=1.0, random_state=1))
    assert main([]) == 0
    assert state("data/clean/events", "data/clean/offers", "data/quarantine") == before


@pytest.mark.usefixtures("shop")
def test_quarantine_that_was_deleted_by_hand_is_rebuilt() -> None:
    change("events", put("price", -1.0, [3, 5]))
    assert main([]) == 0
    before = state()
    shutil.rmtree("data/quarantine")
    assert main([]) == 0
    assert state() == before
    assert len(quarantined()) == 2


@pytest.mark.parametrize("harm", ["delete", "cut", "add"])
@pytest.mark.usefixtures("shop")
def test_a_clean_month_that_was_touched_by_hand_is_mended(harm: str) -> None:
    before = state()
    path = artefacts.EVENTS.path / "2024-03.parquet"
    if harm == "delete":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        (artefacts.CLEAN_MANIFEST.path).write_text("{}", encoding="utf-8")
    assert main([]) == 0
    assert state() == before


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
    found = report()["events"]
    assert found["reasons"] == wanted
    assert (found["n_in"], found["n_quarantined"], found["n_rows"]) == (N_ALL, 20, N_ALL - 20)
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
    assert table["price"].null_count == 0  # a NaN, as a computation leaves it, is no null
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
    found = report()
    assert found["events"]["dropped"] == {
        "dropped department": 4,
        "exact duplicate": 3,
        "quantity above the maximum": 1,
        "quantity of zero": 2,
    }
    assert found["events"]["reasons"] == {"price: be between": 3}
    assert found["events"]["n_in"] == N_ALL + 15
    assert found["events"]["n_rows"] == N_ALL + 2
    assert (found["totals"]["n_catalogue"], found["totals"]["n_unknown_items"]) == (61, 1)
    items = artefacts.read_table(artefacts.ITEMS)["item_id"].tolist()
    assert "item-new" in items
    assert "item-fuel" not in items


def first_of_february(n_rows: int) -> list[int]:
    february = source_events()["timestamp"].dt.month == 2
    return list(np.flatnonzero(february)[:n_rows])


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
    for part in ("At most 1.00%", "'events 2024-02'", "17 of 1,690", "'price: be between'", "-2.0"):
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


def seconds(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(timestamp=frame["timestamp"].astype("int64"))


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
    "a file is cut short": ("events", cut, ("events.parquet", "damaged or cut short")),
    "a file has no bytes": (
        "users",
        lambda path: path.write_bytes(b"") and None,
        ("users.parquet", "damaged or cut short"),
    ),
    "a file is something else": (
        "events",
        lambda path: path.write_text("user_id,item_id\n") and None,
        ("events.parquet", "damaged or cut short"),
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
    "times are numbers": (
        "events",
        frame_change(seconds),
        ("Expected times in the column 'timestamp'", "int64"),
    ),
    "all times lie in the future": (
        "events",
        frame_change(lambda f: f.assign(timestamp=f["timestamp"] + pd.Timedelta(days=3650))),
        ("may break an expectation", "timestamp: be between"),
    ),
    "all item ids are missing": (
        "events",
        frame_change(lambda frame: frame.assign(item_id=None)),
        ("may break an expectation", "item_id: not be null"),
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.usefixtures("shop")
def test_a_bad_file_is_a_clear_error_and_the_last_good_state_stays(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    table, harm, said = BAD_FILES[name]
    before = state()
    harm(Path(f"data/source/{table}.parquet"))
    assert main([]) == 1
    assert state() == before
    for part in said:
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


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


MOMENTS: dict[str, tuple[Any, str]] = {
    "while raw tables are checked": (collecting, "check_raw"),
    "while a month is split": (months, "split"),
    "while a month is written": (months, "write_table"),
    "after the events": (collecting, "read_events"),
    "while items are written": (collecting, "split"),
    "before the manifest": (collecting, "Manifest"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.usefixtures("shop")
def test_ctrl_c_leaves_the_last_good_state(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()
    change("events", put("price", -1.0, [0]))
    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], interrupt)
        assert main([]) == 130
    assert state() == before


@pytest.mark.usefixtures("shop_with_docs")
def test_ctrl_c_at_the_report_is_made_good_by_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    change("events", put("price", -1.0, [0]))
    with monkeypatch.context() as patch:
        patch.setattr(reporting, "write_docs", interrupt)
        assert main([]) == 130
        assert report()["events"]["n_quarantined"] == 0  # of the run before
    assert main([]) == 0
    assert report()["events"]["n_quarantined"] == 1
    assert "price: be between" in artefacts.page("collection").path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("shop")
def test_the_manifest_names_no_path_host_or_time(shop: Path) -> None:
    text = artefacts.CLEAN_MANIFEST.path.read_text(encoding="utf-8")
    assert str(shop) not in text
    assert json.loads(text)["source"] == "files"


def forget(*user_ids: str) -> None:
    salt = "00" * 16
    write_suppressed(SuppressionList(entry_of(user_id, salt) for user_id in user_ids))


@pytest.mark.usefixtures("shop_with_docs")
def test_a_list_of_forgotten_people_that_is_empty_changes_no_byte() -> None:
    before = state()
    assert "suppressed" not in report()
    forget()
    shutil.rmtree("data/clean")
    assert main([]) == 0
    assert state() == before


@pytest.mark.usefixtures("shop")
def test_a_forgotten_person_is_in_no_clean_table_and_is_counted() -> None:
    gone = source_events()["user_id"].eq("user-03").sum()
    assert gone > 0
    forget("user-03", "somebody-else")
    assert main([]) == 0
    assert report()["suppressed"] == {"n_users": 1, "n_events": gone}
    assert report()["events"]["n_in"] == N_ALL - gone
    for table in (artefacts.EVENTS, artefacts.USERS):
        assert "user-03" not in set(artefacts.read_table(table)["user_id"])
    assert report()["totals"]["n_users"] == 79
    assert report()["totals"]["n_users_after_departments"] == 79
    assert "user-03" not in Path("data/clean/manifest.json").read_text()
    page = artefacts.page("collection").path.read_text()
    assert "People who asked to be forgotten" in page
    forget()
    assert main([]) == 0
    assert "suppressed" not in report()
    assert report()["totals"]["n_users"] == 80


@pytest.mark.usefixtures("shop")
def test_rows_of_nobody_are_still_quarantined_when_somebody_is_forgotten() -> None:
    change("events", put("user_id", None, [0, 1]))
    forget("user-03")
    assert main([]) == 0
    assert len(quarantined()) == 2


@pytest.mark.usefixtures("shop")
def test_a_damaged_list_of_forgotten_people_stops_collection() -> None:
    forget("user-03")
    Path("data/suppressed/users.csv").write_text("salt,user_hash\nuser-03\n")
    before = state()
    assert main([]) == 1
    assert state() == before
