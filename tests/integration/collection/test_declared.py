"""Corrections and quarantines declared in params.yaml, from the source to the clean months."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.collection.__main__ import main
from pipeline.contracts import artefacts
from pipeline.contracts.params import read_params
from pipeline.contracts.verdicts import Evidence
from pipeline.event_store.suppression import SuppressionList, hash_user, write_suppressed
from pipeline.planning.history import read_history
from pipeline.sources import open_source
from tests.support.collected import (
    N_ALL,
    N_EVENTS,
    change,
    quarantined,
    report,
    source_events,
    state,
    write_params,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shop")]

FEBRUARY = {"from": "2024-02-01", "to": "2024-03-01"}
CENTS = {"kind": "scale", "column": "price", "factor": 0.01} | FEBRUARY
TABLES = ("data/clean/events", "data/clean/offers", "data/quarantine")


def declare(*corrections: dict[str, Any], quarantined: tuple[dict[str, Any], ...] = ()) -> None:
    write_params(Path(), corrections=list(corrections), quarantined=list(quarantined))


def deliver_february_in_cents() -> None:
    def in_cents(frame: pd.DataFrame) -> pd.DataFrame:
        is_february = frame["timestamp"].dt.month == 2
        return frame.assign(price=frame["price"].where(~is_february, frame["price"] * 100))

    change("events", in_cents)


def evidence(name: str) -> Evidence:
    verdict = artefacts.read_verdict("collection")
    return next(item for item in verdict.evidence if item.name == name)


def test_a_month_in_cents_is_read_again_alone_and_gives_the_right_tables(
    caplog: pytest.LogCaptureFixture,
) -> None:
    right = artefacts.read_table(artefacts.EVENTS)
    deliver_february_in_cents()
    assert main([]) == 0
    wrong = state(*TABLES)
    declare(CENTS)
    with caplog.at_level(logging.INFO, "evergreen"):
        assert main([]) == 0
    assert "events: 3 months, 2 of them reused" in caplog.text
    pd.testing.assert_frame_equal(artefacts.read_table(artefacts.EVENTS), right)
    assert report()["corrections"] == [
        {
            "description": "scale price by 0.01, from 2024-02-01, before 2024-03-01",
            "n_lines": N_EVENTS["2024-02"],
            "n_merged_ids": 0,
        }
    ]
    assert evidence("correction_1_lines").holds
    assert "scale price by 0.01" in artefacts.page("collection").path.read_text()
    declare()
    assert main([]) == 0
    assert state(*TABLES) == wrong
    assert "corrections" not in report()


def test_planning_reads_the_corrected_lines() -> None:
    declare({"kind": "drop_users", "users": ["user-03"]})
    params = read_params()
    history = read_history(open_source(params.collection, params.shop), params)
    assert history.n_users() == 79
    assert "user-03" not in history.user_ids


def test_a_correction_without_lines_warns_and_changes_no_month() -> None:
    before = state(*TABLES)
    declare(CENTS | {"store_id": "no-such-store"})
    assert main([]) == 0
    assert state(*TABLES) == before
    warning = evidence("correction_1_lines")
    assert (warning.value, warning.holds, warning.gates) == (0, False, False)
    assert "in store no-such-store" in warning.note
    assert artefacts.read_verdict("collection").status_in_words == "proceed, with warnings"


def test_held_out_lines_are_in_the_quarantine_with_the_reason_and_come_back() -> None:
    before = state(*TABLES)
    week = {"from": "2024-02-05", "to": "2024-02-12", "because": "the till lost its clock"}
    none = {"store_id": "no-such-store", "because": "closed"}
    times = source_events()["timestamp"]
    n_held = int(times.between("2024-02-05", "2024-02-12", inclusive="left").sum())
    declare(quarantined=(week, none))
    assert main([]) == 0
    held = quarantined()
    assert len(held) == n_held > 0
    assert set(held["reasons"]) == {"held out: the till lost its clock"}
    assert held["timestamp"].between("2024-02-05", "2024-02-12", inclusive="left").all()
    numbers = report()
    assert numbers["events"]["n_in"] == N_ALL
    assert numbers["events"]["n_rows"] == N_ALL - n_held
    assert numbers["events"]["n_quarantined"] == n_held
    assert numbers["events"]["quarantined_fraction"] == 0  # a declaration is no failure
    assert [count["n_lines"] for count in numbers["held_out"]] == [n_held, 0]
    assert not evidence("quarantine_2_lines").holds
    after = state(*TABLES)
    touched = {name for name in after if before.get(name) != after[name]}
    assert touched == {
        "data/clean/events/2024-02.parquet",
        "data/quarantine/events/2024-02.parquet",
    }
    declare()
    assert main([]) == 0
    assert state(*TABLES) == before


def test_a_partition_that_stops_collection_can_be_held_out() -> None:
    """Null prices of a week fail already in the raw table."""

    def break_prices(frame: pd.DataFrame) -> pd.DataFrame:
        week = frame["timestamp"].between("2024-02-05", "2024-02-12", inclusive="left")
        return frame.assign(price=frame["price"].mask(week))

    change("events", break_prices)
    assert main([]) == 1
    week = {"from": "2024-02-05", "to": "2024-02-12", "because": "no prices"}
    declare(quarantined=(week,))
    assert main([]) == 0
    assert quarantined()["price"].isna().all()


def test_a_whole_month_can_be_held_out() -> None:
    declare(quarantined=(FEBRUARY | {"because": "wrong shop"},))
    assert main([]) == 0
    assert {month["month"]: month["n_rows"] for month in report()["months"]} == N_EVENTS | {
        "2024-02": 0
    }
    assert len(quarantined()) == N_EVENTS["2024-02"]


def test_a_changed_id_map_is_applied_and_one_that_is_missing_stops_before_reading() -> None:
    rename = {"kind": "rename", "column": "item_id", "file": "data/corrections/ids.csv"}
    Path("data/corrections").mkdir(parents=True)
    declare(rename)
    for new in ("milk", "tea"):
        Path("data/corrections/ids.csv").write_text(f"old,new\nitem-07,{new}\n")
        assert main([]) == 0
        items = artefacts.read_table(artefacts.ITEMS).set_index("item_id")
        assert items.loc[new, "title"] == "Product 7"
        assert set(artefacts.read_table(artefacts.EVENTS)["item_id"]) >= {new}
    before = state()
    Path("data/corrections/ids.csv").unlink()
    shutil.rmtree("data/source")
    assert main([]) == 1
    assert state() == before


def test_a_forgotten_person_stays_forgotten_under_a_new_id_and_in_the_quarantine() -> None:
    write_suppressed(SuppressionList([hash_user("user-03", "00" * 16)]))
    Path("data/corrections").mkdir(parents=True)
    Path("data/corrections/ids.csv").write_text("old,new\nuser-03,customer-3\n")
    rename = {"kind": "rename", "column": "user_id", "file": "data/corrections/ids.csv"}
    declare(rename, quarantined=(FEBRUARY | {"because": "wrong shop"},))
    assert main([]) == 0
    tables = (artefacts.read_table(artefacts.EVENTS), artefacts.read_table(artefacts.USERS))
    for table in (*tables, quarantined()):
        assert not {"user-03", "customer-3"} & set(table["user_id"])
