"""Interruptions and forgotten people: what collection leaves on disk."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.collection import collect, months
from pipeline.collection import report as reporting
from pipeline.collection.__main__ import main
from pipeline.contracts import artefacts
from pipeline.event_store.suppression import SuppressionList, hash_user, write_suppressed
from tests.support.collected import (
    N_ALL,
    change,
    put,
    quarantined,
    report,
    source_events,
    state,
)

pytestmark = pytest.mark.slow


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


MOMENTS: dict[str, tuple[Any, str]] = {
    "while raw tables are checked": (collect, "check_raw"),
    "while a month is split": (months, "split"),
    "while a month is written": (months, "write_table"),
    "after the events": (collect, "read_events"),
    "while items are written": (collect, "split"),
    "before the manifest": (collect, "Manifest"),
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
        assert report()["events"]["n_quarantined"] == 0  # from the previous run
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
    write_suppressed(SuppressionList(hash_user(user_id, salt) for user_id in user_ids))


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
