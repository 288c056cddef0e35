"""The commands `forget` and `retain`, and a store process that is killed."""

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.serving.crashes import counted, kill_store_process
from pipeline.contracts.artefacts import REVIEWED_LABELS
from pipeline.contracts.review_ids import review_id
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SUPPRESSED_USERS, read_suppressed
from pipeline.event_store.tables import ShadowAnswer
from pipeline.labeling.audit.reviews import HEADER
from pipeline.serving.__main__ import main
from tests.support.served import Http, act, eventually, recommend, send
from tests.support.traces import files_that_name
from tests.unit.event_store.rows import NOON, event, prediction

EARLY = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def url(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with three events of two users, in the working directory."""
    url = f"sqlite:///{shop_folder / 'live.db'}"
    monkeypatch.setenv("EVERGREEN_EVENT_STORE", url)
    store = EventStore(url)
    now = datetime.now(UTC)
    store.append([event("1", received_at=now), event("2"), event("3", user_id="bob")])
    store.log([prediction("r1", received_at=now)])
    store.close()
    return url


def stored_ids(url: str) -> tuple[list[str], list[str]]:
    store = EventStore(url)
    event_ids = [event.event_id for event in store.events_since(EARLY)]
    request_ids = [prediction.request_id for prediction in store.predictions()]
    store.close()
    return event_ids, request_ids


def test_forget_proves_that_nothing_is_left(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "ann"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [
        ["table", "removed", "left"],
        ["events", "2", "0"],
        ["predictions", "1", "0"],
    ]
    assert stored_ids(url) == (["3"], [])
    assert read_suppressed().of(["ann", "bob"]) == {"ann"}
    assert "ann" not in SUPPRESSED_USERS.read_text()
    assert main(["forget", "ann", "carl"]) == 0
    assert "2 of 2 are on the list of forgotten people, which holds 2." in capsys.readouterr().out


def test_forget_without_arguments_suppresses_users_of_the_file_in_a_new_database(
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


def test_retain_deletes_old_rows(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retain"]) == 0
    assert stored_ids(url) == (["1"], ["r1"])  # the others were received at NOON of 2024
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["events", "2", "deleted", "1", "left"],
        ["predictions", "0", "deleted", "1", "left"],
        ["shadow_answers", "0", "deleted", "0", "left"],
    ]
    assert NOON.year == 2024


SECRET = "shopper-4711"


def test_no_file_names_a_forgotten_user(
    shop_folder: Path,
    start: Callable[..., Http],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"sqlite:///{shop_folder / 'data/events.db'}"
    monkeypatch.setenv("EVERGREEN_EVENT_STORE", url)
    shutil.rmtree(shop_folder / "data/source")  # the retailer's own
    store = EventStore(url)
    store.log_shadow([ShadowAnswer("r0", "0" * 12, SECRET, [], [], [], None, SECRET, NOON)])
    store.close()
    http = start(url)
    for user_id in (SECRET, "bob"):
        send(http, act("purchase", "coffee", user_id)).raise_for_status()
        recommend(http, user_id).raise_for_status()
    assert eventually(lambda: shown_to(url, SECRET))
    reviews = [f"{review_id(f'rolling:{user}:b-1')},b-1,,bulk,drop" for user in (SECRET, "bob")]
    old = f"rolling:{SECRET}:b-2,b-2,,bulk,keep"
    REVIEWED_LABELS.write_text("\n".join([HEADER, *reviews, old]) + "\n", encoding="utf-8")
    names = [SECRET, review_id(f"rolling:{SECRET}:b-1")]
    before = files_that_name(names, shop_folder.rglob("*"))
    assert {Path(name).name for name in before} >= {"labels.csv"}
    assert any("events.db" in name for name in before)
    assert main(["forget", SECRET]) == 0
    assert ["labels.csv", "2", "0"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]
    assert files_that_name(names, shop_folder.rglob("*")) == {}
    assert REVIEWED_LABELS.read_text(encoding="utf-8") == f"{HEADER}\n{reviews[1]}\n"
    assert files_that_name(["bob"], shop_folder.rglob("*"))


def shown_to(url: str, user_id: str) -> bool:
    store = EventStore(url)
    predictions = store.predictions(user_id=user_id)
    store.close()
    return bool(predictions)


def test_remaining_copies_are_reported(
    url: str, shop_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("models/champion", "models/releases", ".dvc/cache"):
        (shop_folder / name).mkdir(parents=True)
    assert main(["forget", "ann"]) == 0
    told = capsys.readouterr().out
    assert "until `make repro` replaces the files: models/champion." in told
    assert "models/releases" in told
    assert "uv run dvc gc --workspace" in told
    assert "mlartifacts" not in told


@pytest.mark.parametrize("command", ["forget", "retain"])
def test_a_store_that_cannot_be_opened_is_reported(
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
def test_a_store_killed_under_load_loses_and_duplicates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    report = counted(path, kill_store_process(4, path, random.Random(5)))
    assert report["events_acknowledged"] > 0
    for wrong in (
        "acknowledged_events_lost",
        "events_duplicated",
        "events_nobody_sent",
        "damaged_databases",
    ):
        assert report[wrong] == 0
