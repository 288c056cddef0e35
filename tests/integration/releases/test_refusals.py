"""Bundles and pointers that the service refuses: the old version keeps serving."""

from collections.abc import Callable

import pytest

from pipeline.bundles.release_pointer import POINTER
from pipeline.serving.releases import changes, worker_state
from pipeline.serving.releases import watch as watch_module
from pipeline.serving.releases.store import ReleaseStore
from tests.support.release_service import ReleaseService


@pytest.mark.parametrize("damage", ["altered", "missing", "does_not_load"])
def test_a_bundle_that_is_refused_leaves_the_old_one_answering(
    service: ReleaseService, old: str, make: Callable[..., str], damage: str
) -> None:
    new = changes.promote(make("new", **{damage: True}), service.release_store).champion
    file = service.release_store.folder / new / "behaviour.json"
    if damage == "altered":
        file.write_text("{}")
    elif damage == "missing":
        file.unlink()
    service.watcher.poll()
    service.watcher.poll()
    assert service.version() == old
    assert [event for event, _ in service.notifications] == ["release_refused"]
    assert service.notifications[0][1]["version"] == new
    workers = worker_state.read_workers(service.release_store.folder)
    states = workers.values()
    assert all(list(state.refused) == [new] and state.champion == old for state in states)
    with pytest.raises(Exception, match="old version still serves"):
        worker_state.wait_until_followed(service.release_store.folder, 1, new, timeout_seconds=5)


def test_a_refused_bundle_answers_as_soon_as_it_is_mended(
    service: ReleaseService, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "RETRY_SECONDS", 0.0)
    new = changes.promote(make("new"), service.release_store).champion
    file = service.release_store.folder / new / "behaviour.json"
    good = file.read_text()
    file.write_text("{}")
    service.watcher.poll()
    file.write_text(good)
    service.watcher.poll()
    assert service.version() == new


@pytest.mark.parametrize("text", ["", '{"change": 17', "not json"])
def test_a_damaged_pointer_changes_nothing_and_is_reported_once(
    service: ReleaseService, make: Callable[..., str], text: str
) -> None:
    new = changes.promote(make("new"), service.release_store).champion
    service.watcher.poll()
    (service.release_store.folder / POINTER).write_text(text)
    service.watcher.poll()
    service.watcher.poll()
    assert service.version() == new
    assert [event for event, _ in service.notifications] == ["release_swapped", "release_refused"]


def test_a_pointer_that_is_deleted_brings_the_deployed_bundle_back(
    service: ReleaseService, old: str, make: Callable[..., str]
) -> None:
    changes.promote(make("new"), service.release_store)
    service.watcher.poll()
    (service.release_store.folder / POINTER).unlink()
    service.watcher.poll()
    assert service.version() == old


@pytest.mark.parametrize("damage", ["pointer", "bundle"])
def test_a_start_with_something_damaged_serves_the_deployed_bundle_and_reports_it(
    start_service: Callable[..., ReleaseService],
    release_store: ReleaseStore,
    old: str,
    make: Callable[..., str],
    damage: str,
) -> None:
    new = changes.promote(make("new"), release_store).champion
    if damage == "pointer":
        (release_store.folder / POINTER).write_text("{")
    else:
        (release_store.folder / new / "behaviour.json").write_text("{}")
    service = start_service()
    assert service.version() == old
    assert service.notifications[0][0] == "release_refused"
