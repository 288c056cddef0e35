"""The commands that clean the event store, and a store process that is killed."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.crashes import counted, kill_store_process
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SUPPRESSED_USERS, read_suppressed
from pipeline.serving.__main__ import main
from tests.unit.event_store.rows import NOON, event, prediction

EARLY = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def url(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with three events of two people, in the working directory's shop."""
    url = f"sqlite:///{shop_folder / 'live.db'}"
    monkeypatch.setenv("EVERGREEN_EVENT_STORE", url)
    store = EventStore(url)
    now = datetime.now(UTC)
    store.append([event("1", received_at=now), event("2"), event("3", user_id="bob")])
    store.log([prediction("r1", received_at=now)])
    store.close()
    return url


def left(url: str) -> tuple[list[str], list[str]]:
    store = EventStore(url)
    found = [each.event_id for each in store.events_since(EARLY)]
    shown = [each.request_id for each in store.predictions()]
    store.close()
    return found, shown


def test_forget_proves_that_nothing_is_left(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "ann"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [
        ["table", "removed", "left"],
        ["events", "2", "0"],
        ["predictions", "1", "0"],
    ]
    assert left(url) == (["3"], [])
    assert read_suppressed().of(["ann", "bob"]) == {"ann"}
    assert "ann" not in SUPPRESSED_USERS.read_text()
    assert main(["forget", "ann", "carl"]) == 0
    assert "2 of 2 are on the list of forgotten people, which holds 2." in capsys.readouterr().out


def test_forget_without_anybody_tells_a_new_database_whom_the_file_names(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["forget", "ann"]) == 0
    before = SUPPRESSED_USERS.read_bytes()
    other = url.replace("live.db", "other.db")
    monkeypatch.setenv("EVERGREEN_EVENT_STORE", other)
    assert main(["forget"]) == 0
    assert SUPPRESSED_USERS.read_bytes() == before
    store = EventStore(other)
    assert store.append([event("1"), event("2", user_id="bob")]) == [event("2", user_id="bob")]
    store.close()


def test_retain_deletes_what_was_received_too_long_ago(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retain"]) == 0
    assert left(url) == (["1"], ["r1"])  # the others were received at NOON of 2024
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["events", "2", "deleted", "1", "left"],
        ["predictions", "0", "deleted", "1", "left"],
        ["shadow_answers", "0", "deleted", "0", "left"],
    ]
    assert NOON.year == 2024


@pytest.mark.parametrize("command", ["forget", "retain"])
def test_a_store_that_cannot_be_opened_is_said(
    shop_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    command: str,
) -> None:
    (shop_folder / "live.db").write_bytes(b"not a database" * 100)
    monkeypatch.setenv("EVERGREEN_EVENT_STORE", f"sqlite:///{shop_folder / 'live.db'}")
    assert main([command]) == 1
    assert "not a database" in caplog.text
    assert not SUPPRESSED_USERS.exists()


@pytest.mark.slow
def test_a_store_that_is_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    found = counted(path, kill_store_process(4, path, random.Random(5)))
    assert found["events_acknowledged"] > 0
    for wrong in (
        "acknowledged_events_lost",
        "events_duplicated",
        "events_nobody_sent",
        "damaged_databases",
    ):
        assert found[wrong] == 0
