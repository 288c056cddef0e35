"""Versions that are swapped while requests run."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.serving.api.app import build_app
from pipeline.serving.releases import changes, worker_state
from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_releases import write_fake
from tests.support.release_service import ReleaseService


def test_a_promoted_version_answers_and_a_rollback_brings_the_old_one_back(
    service: ReleaseService, old: str, make: Callable[..., str]
) -> None:
    new = changes.promote(make("new"), service.release_store).champion
    assert service.version() == old
    service.watcher.poll()
    assert service.version() == new
    changes.rollback(service.release_store)
    service.watcher.poll()
    assert service.version() == old
    assert [event for event, _ in service.notifications] == ["release_swapped", "release_swapped"]


def test_a_new_deployment_is_followed_without_a_command(
    service: ReleaseService, tmp_path: Path, make: Callable[..., str]
) -> None:
    changes.promote(make("new"), service.release_store)
    service.watcher.poll()
    service.release_store.deployed.rename(tmp_path / "replaced")
    service.watcher.poll()  # while the deployed bundle is missing
    before = service.version()
    newest = write_fake(service.release_store.deployed, "newest")
    service.watcher.poll()
    assert service.version() == newest != before


def test_not_one_request_fails_while_versions_are_swapped_under_load(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    app = build_app()
    app.state.backend = service.backend
    names = [make("one"), make("two")]

    async def load() -> list[tuple[int, str]]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        answers: list[tuple[int, str]] = []
        done = asyncio.Event()

        async def ask(client: httpx.AsyncClient, user_id: str) -> None:
            while not done.is_set():
                event = {"user_id": user_id, "item_id": "jam", "event_type": "view"}
                for path, body in (("/recommend", {"user_id": user_id}), ("/events", event)):
                    answer = await client.post(path, json=body)
                    answers.append((answer.status_code, answer.json().get("model_version", "")))

        def swap() -> None:
            for number in range(6):
                changes.promote(names[number % 2], service.release_store)
                service.watcher.poll()

        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            askers = [asyncio.create_task(ask(client, f"user{n}")) for n in range(8)]
            await asyncio.to_thread(swap)
            done.set()
            await asyncio.gather(*askers)
        return answers

    answers = asyncio.run(load())
    assert {status for status, _ in answers} == {200, 201}
    assert len({version for _, version in answers if version}) == 3


def test_a_request_that_began_before_the_swap_finishes_on_the_old_model(
    start_service: Callable[..., ReleaseService],
    release_store: ReleaseStore,
    old: str,
    make: Callable[..., str],
) -> None:
    service = start_service()
    entered, go_on = threading.Event(), threading.Event()
    engine = service.backend.releases.champion
    real = engine.answer

    def slow(*arguments: Any, **more: Any) -> Any:
        entered.set()
        assert go_on.wait(60)
        return real(*arguments, **more)

    engine.answer = slow  # type: ignore[method-assign]
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(service.ask_engine()))
    thread.start()
    assert entered.wait(60)
    new = changes.promote(make("new"), release_store).champion
    service.watcher.poll()
    assert service.ask_engine() == new
    go_on.set()
    thread.join(60)
    assert answers == [old]


def test_the_memory_of_the_old_model_is_released(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    gc.freeze()  # as the service does
    engine = weakref.ref(service.backend.engine)
    model = weakref.ref(service.backend.engine.runtime._recommender)
    service.ask()
    changes.promote(make("new"), service.release_store)
    service.watcher.poll()
    service.ask()
    gc.unfreeze()
    assert (engine(), model()) == (None, None)


def test_a_restart_serves_the_promoted_version(
    start_service: Callable[..., ReleaseService],
    release_store: ReleaseStore,
    make: Callable[..., str],
) -> None:
    new = changes.promote(make("new"), release_store).champion
    assert start_service().version() == new


def test_a_service_that_can_write_nothing_still_answers_and_follows(
    service: ReleaseService, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(worker_state, "write_state", refuse)
    monkeypatch.setattr(worker_state, "touch_state", refuse)
    new = changes.promote(make("new"), service.release_store).champion
    service.watcher.poll()
    service.watcher.poll()
    assert service.version() == new
