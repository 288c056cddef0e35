"""Collection from end to end on the tiny shop: clean tables, reuse and repair of months."""

import logging
import shutil

import pandas as pd
import pytest

from pipeline.collection.__main__ import main
from pipeline.contracts import artefacts
from tests.support.collected import (
    N_ALL,
    N_EVENTS,
    N_WEEKS,
    change,
    put,
    quarantined,
    report,
    source_events,
    state,
)

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("shop")
def test_clean_tables_hold_the_shop() -> None:
    numbers = report()
    assert {month["month"]: month["n_rows"] for month in numbers["months"]} == N_EVENTS
    assert (
        numbers["events"]["n_in"] == numbers["events"]["n_rows"] == N_ALL == sum(N_EVENTS.values())
    )
    assert numbers["events"]["n_quarantined"] == 0
    assert numbers["offers"]["n_rows"] == N_WEEKS * 5
    totals = numbers["totals"]
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
