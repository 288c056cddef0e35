"""Bundles that change while requests run: swap, refusal, rollback, shadow, canary."""

import asyncio
import gc
import json
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from pipeline.bundles.archive import version_of
from pipeline.bundles.release_pointer import POINTER, read_pointer
from pipeline.contracts.params import CanaryParams
from pipeline.event_store.cleaning import forget
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.event_store.tables import SHADOW_ANSWERS
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.commands import canary as canary_command
from pipeline.serving.commands import compare, promote, releases, rollback
from pipeline.serving.commands import shadow as shadow_command
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import RecommendRequest
from pipeline.serving.releases import changes, running
from pipeline.serving.releases import watch as watch_module
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.watch import Watcher, first_bundle
from pipeline.serving.reranking.availability import ItemAvailability
from tests.support.fake_bundle import AS_OF, serving_params
from tests.support.fake_releases import fake_place, load_fake, write_fake

RULES = CanaryParams(minimum_requests=60, false_stop_probability=0.01, maximum_slowdown=1.5)


class Clock:
    """Each look at it takes half a millisecond; a slow bundle moves it on."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.0005
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What a canary is timed with: the tests' machine may be as slow as it likes."""
    made = Clock()
    monkeypatch.setattr("pipeline.serving.releases.canary.time", made)

    def wait(seconds: float) -> None:
        made.now += seconds

    monkeypatch.setattr("tests.support.fake_releases.sleep", wait)
    return made


class Service:
    """A backend and its watcher, which looks when it is told to."""

    def __init__(self, place: ReleaseStore, url: str, load: Any = load_fake) -> None:
        self.place = place
        self.told: list[tuple[str, dict[str, str]]] = []
        # A slow machine is no failure here.
        params = serving_params(distinct_titles="off").model_copy(update={"timeout_seconds": 60})
        store = EventStore(url, lock_seconds=30)
        bundle = first_bundle(place, load_fake, self._tell)
        self.backend = Backend(RecommendationEngine(bundle, store, params), params)
        self.watcher = Watcher(
            self.backend.releases, store, params, place=place, load=load, tell=self._tell
        )

    def _tell(self, event: str, facts: Any) -> None:
        self.told.append((event, dict(facts)))

    def ask(self, user_id: str = "ann", **more: Any) -> dict[str, Any]:
        body = json.dumps({"user_id": user_id, "k": 3, "explore_slots": 0} | more).encode()
        found: dict[str, Any] = json.loads(asyncio.run(self.backend.recommend(body)))
        return found

    def send(self, kind: str, item: str, user_id: str = "ann", **more: Any) -> None:
        event = {"user_id": user_id, "item_id": item, "event_type": kind, **more}
        asyncio.run(self.backend.append(json.dumps(event).encode()))

    def version(self) -> str:
        return str(self.ask()["model_version"])

    def close(self) -> None:
        self.watcher.stop()
        self.backend.close()


@pytest.fixture
def place(tmp_path: Path) -> ReleaseStore:
    return fake_place(tmp_path)


@pytest.fixture
def old(place: ReleaseStore) -> str:
    return version_of(place.deployed)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'events.db'}"


@pytest.fixture
def start(place: ReleaseStore, url: str) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def started(load: Any = load_fake) -> Service:
        services.append(Service(place, url, load))
        services[-1].watcher.look()
        return services[-1]

    yield started
    for service in services:
        service.close()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """Make a bundle, and return where it lies."""

    def made(name: str, **behaviour: Any) -> str:
        write_fake(tmp_path / name, name, **behaviour)
        return str(tmp_path / name)

    return made


def test_a_promoted_version_answers_and_a_rollback_brings_the_old_one_back(
    service: Service, old: str, make: Callable[..., str]
) -> None:
    new = changes.promote(make("new"), service.place).champion
    assert service.version() == old
    service.watcher.look()
    assert service.version() == new
    changes.rollback(service.place)
    service.watcher.look()
    assert service.version() == old
    assert [event for event, _ in service.told] == ["release_swapped", "release_swapped"]


def test_a_new_deployment_is_followed_without_a_command(
    service: Service, tmp_path: Path, make: Callable[..., str]
) -> None:
    changes.promote(make("new"), service.place)
    service.watcher.look()
    service.place.deployed.rename(tmp_path / "replaced")
    service.watcher.look()  # for a moment there is none
    before = service.version()
    newest = write_fake(service.place.deployed, "newest")
    service.watcher.look()
    assert service.version() == newest != before


def test_not_one_request_fails_while_versions_are_swapped_under_load(
    service: Service, make: Callable[..., str]
) -> None:
    app = build_app()
    app.state.backend = service.backend
    names = [make("one"), make("two")]

    async def load() -> list[tuple[int, str]]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        found: list[tuple[int, str]] = []
        done = asyncio.Event()

        async def ask(client: httpx.AsyncClient, user_id: str) -> None:
            while not done.is_set():
                event = {"user_id": user_id, "item_id": "jam", "event_type": "view"}
                for path, body in (("/recommend", {"user_id": user_id}), ("/events", event)):
                    answer = await client.post(path, json=body)
                    found.append((answer.status_code, answer.json().get("model_version", "")))

        def swap() -> None:
            for number in range(6):
                changes.promote(names[number % 2], service.place)
                service.watcher.look()

        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            askers = [asyncio.create_task(ask(client, f"user{n}")) for n in range(8)]
            await asyncio.to_thread(swap)
            done.set()
            await asyncio.gather(*askers)
        return found

    found = asyncio.run(load())
    assert {status for status, _ in found} == {200, 201}
    assert len({version for _, version in found if version}) == 3


def test_a_request_that_began_before_the_swap_finishes_on_the_old_model(
    start: Callable[..., Service], place: ReleaseStore, old: str, make: Callable[..., str]
) -> None:
    service = start()
    entered, go_on = threading.Event(), threading.Event()
    shelf = service.backend.releases.champion
    real = shelf.answer

    def slow(*arguments: Any, **more: Any) -> Any:
        entered.set()
        assert go_on.wait(60)
        return real(*arguments, **more)

    shelf.answer = slow  # type: ignore[method-assign]
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_direct(service)))
    thread.start()
    assert entered.wait(60)
    new = changes.promote(make("new"), place).champion
    service.watcher.look()
    assert _direct(service) == new
    go_on.set()
    thread.join(60)
    assert answers == [old]


def _direct(service: Service) -> str:
    query = RecommendRequest(user_id="ann", k=1)
    return service.backend.releases.recommend(query).model_version


def test_the_memory_of_the_old_model_is_released(
    service: Service, make: Callable[..., str]
) -> None:
    gc.freeze()  # as the service does
    shelf = weakref.ref(service.backend.engine)
    model = weakref.ref(service.backend.engine.runtime._recommender)
    service.ask()
    changes.promote(make("new"), service.place)
    service.watcher.look()
    service.ask()
    gc.unfreeze()
    assert (shelf(), model()) == (None, None)


def test_the_new_model_knows_what_happened_since_its_own_as_of(
    service: Service, make: Callable[..., str]
) -> None:
    service.send("purchase", "tea", timestamp=(AS_OF + timedelta(days=1)).isoformat())
    service.send("purchase", "tea", timestamp=(AS_OF + timedelta(days=20)).isoformat())
    bought = [item["score"] for item in service.ask(k=5)["items"] if item["item_id"] == "tea"]
    assert bought == [2.0]
    changes.promote(make("later", as_of="2024-03-15"), service.place)
    service.watcher.look()
    bought = [item["score"] for item in service.ask(k=5)["items"] if item["item_id"] == "tea"]
    assert bought == [1.0]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_events_that_come_in_while_a_model_is_loading_are_learnt_once(
    service: Service, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    real = EventStore.events_since

    def reading(self: EventStore, *arguments: Any, **more: Any) -> Iterator[Any]:
        if moment == "before":
            service.send("purchase", "tea")
        for number, event in enumerate(real(self, *arguments, **more)):
            if moment == "between" and number == 0:
                service.send("purchase", "tea")
            yield event
        if moment == "after":
            service.send("purchase", "tea")

    service.send("purchase", "jam")
    changes.promote(make("new"), service.place)
    monkeypatch.setattr(EventStore, "events_since", reading)
    service.watcher.look()
    monkeypatch.undo()
    scores = {item["item_id"]: item["score"] for item in service.ask(k=5)["items"]}
    assert scores["tea"] == 1.0
    service.send("purchase", "tea", basket_id="another")
    scores = {item["item_id"]: item["score"] for item in service.ask(k=5)["items"]}
    assert scores["tea"] == 2.0


@pytest.mark.parametrize("role", ["loading", "canary", "champion"])
def test_what_cannot_be_bought_is_on_no_shelf_however_it_came_to_answer(
    service: Service, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    def sell_out() -> None:
        gone = [ItemAvailability(item_id="milk", available=False)]
        service.backend.releases.set_availability(gone)

    real = EventStore.events_since

    def reading(self: EventStore, *arguments: Any, **more: Any) -> Iterator[Any]:
        sell_out()
        yield from real(self, *arguments, **more)

    new = str(changes.set_canary(make("new"), 0.5, RULES, service.place).canary.version)  # type: ignore[union-attr]
    if role == "loading":
        monkeypatch.setattr(EventStore, "events_since", reading)
    service.watcher.look()
    if role != "loading":
        sell_out()
    if role == "champion":
        changes.promote(new, service.place)
        service.watcher.look()
    shelves = service.backend.releases.roles.shelves()
    assert new in shelves
    for shelf in shelves.values():
        answer = shelf.recommend(RecommendRequest(user_id="ann", k=5))
        assert "milk" not in [item.item_id for item in answer.items]


def test_a_forgotten_person_leaves_the_memory_of_every_shelf_and_of_the_canary(
    service: Service, make: Callable[..., str], url: str
) -> None:
    service_canary(service, make("new"))
    trial = service.backend.releases.roles.canary
    assert trial is not None
    service.send("purchase", "tea", "zoe")
    service.ask("zoe")
    store = EventStore(url)
    forget(store.database, ["zoe"], SuppressionList())
    store.close()
    service.backend.engine.shared._forget()
    for shelf in service.backend.releases.roles.shelves().values():
        assert len(shelf._recent_events.before("zoe", float("inf"))) == 0
    assert "zoe" not in trial._shown


@pytest.mark.parametrize("damage", ["altered", "missing", "does_not_load"])
def test_a_bundle_that_is_refused_leaves_the_old_one_answering(
    service: Service, old: str, make: Callable[..., str], damage: str
) -> None:
    new = changes.promote(make("new", **{damage: True}), service.place).champion
    file = service.place.folder / new / "behaviour.json"
    if damage == "altered":
        file.write_text("{}")
    elif damage == "missing":
        file.unlink()
    service.watcher.look()
    service.watcher.look()
    assert service.version() == old
    assert [event for event, _ in service.told] == ["release_refused"]
    assert service.told[0][1]["version"] == new
    said = running.running(service.place.folder)
    assert all(list(each.refused) == [new] and each.champion == old for each in said.values())
    with pytest.raises(Exception, match="it answers as before"):
        running.wait_until_followed(service.place.folder, 1, new, timeout_seconds=5)


def test_a_refused_bundle_answers_as_soon_as_it_is_mended(
    service: Service, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "RETRY_SECONDS", 0.0)
    new = changes.promote(make("new"), service.place).champion
    file = service.place.folder / new / "behaviour.json"
    good = file.read_text()
    file.write_text("{}")
    service.watcher.look()
    file.write_text(good)
    service.watcher.look()
    assert service.version() == new


@pytest.mark.parametrize("text", ["", '{"change": 17', "not json"])
def test_a_damaged_pointer_changes_nothing_and_is_said_once(
    service: Service, make: Callable[..., str], text: str
) -> None:
    new = changes.promote(make("new"), service.place).champion
    service.watcher.look()
    (service.place.folder / POINTER).write_text(text)
    service.watcher.look()
    service.watcher.look()
    assert service.version() == new
    assert [event for event, _ in service.told] == ["release_swapped", "release_refused"]


def test_a_pointer_that_is_deleted_brings_the_deployed_bundle_back(
    service: Service, old: str, make: Callable[..., str]
) -> None:
    changes.promote(make("new"), service.place)
    service.watcher.look()
    (service.place.folder / POINTER).unlink()
    service.watcher.look()
    assert service.version() == old


@pytest.mark.parametrize("damage", ["pointer", "bundle"])
def test_a_start_with_something_damaged_serves_the_deployed_bundle_and_says_so(
    start: Callable[..., Service],
    place: ReleaseStore,
    old: str,
    make: Callable[..., str],
    damage: str,
) -> None:
    new = changes.promote(make("new"), place).champion
    if damage == "pointer":
        (place.folder / POINTER).write_text("{")
    else:
        (place.folder / new / "behaviour.json").write_text("{}")
    service = start()
    assert service.version() == old
    assert service.told[0][0] == "release_refused"


def test_a_restart_serves_the_promoted_version(
    start: Callable[..., Service], place: ReleaseStore, make: Callable[..., str]
) -> None:
    new = changes.promote(make("new"), place).champion
    assert start().version() == new


def test_a_canary_answers_its_share_and_always_the_same_shoppers(
    service: Service, old: str, make: Callable[..., str]
) -> None:
    new = service_canary(service, make("new"), share=0.2)
    sides = {user: service.ask(user)["model_version"] for user in map(str, range(300))}
    assert set(sides.values()) == {old, new}
    assert all(service.ask(user)["model_version"] == side for user, side in sides.items())
    share = sum(side == new for side in sides.values()) / len(sides)
    assert 0.1 < share < 0.3  # 0.2 with four standard deviations
    assert service.backend.releases.shelf_for("17").version == sides["17"]


def service_canary(service: Service, bundle: str, *, share: float = 0.5, **rules: Any) -> str:
    found = changes.set_canary(bundle, share, RULES.model_copy(update=rules), service.place)
    service.watcher.look()
    assert found.canary is not None
    return found.canary.version


def traffic(service: Service, n: int = 200) -> None:
    """Each shopper asks, and wants the first item that is offered if it is milk."""
    for number in range(n):
        user = f"user{number}"
        answer = service.ask(user, viewed=["milk"], explore_slots=3)
        if answer["items"][0]["item_id"] == "milk":
            service.send("cart", "milk", user)
    service.watcher.look()


def stopped(service: Service) -> str | None:
    """Why the canary was stopped, by the pointer; the service has done what it says."""
    pointer = read_pointer(service.place.folder)
    assert pointer is not None
    if pointer.stopped is None:
        assert service.backend.releases.roles.canary is not None
        return None
    assert pointer.canary is None
    assert service.backend.releases.roles.canary is None
    event, facts = service.told[-1]
    assert (event, facts["version"]) == ("canary_stopped", pointer.stopped.version)
    return facts["because"]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [({"fails": True}, "errors"), ({"seconds": 0.02}, "latency"), ({"reversed": True}, "hits")],
)
def test_a_canary_that_is_worse_is_stopped_and_the_champion_answers_all(
    service: Service, old: str, make: Callable[..., str], behaviour: dict[str, Any], reason: str
) -> None:
    service_canary(service, make("bad", **behaviour))
    traffic(service)
    assert stopped(service) == reason
    assert {service.ask(f"user{n}")["model_version"] for n in range(40)} == {old}


def test_a_canary_that_is_no_worse_goes_on(service: Service, make: Callable[..., str]) -> None:
    service_canary(service, make("good"))
    traffic(service)
    assert stopped(service) is None


def test_nobody_gets_an_error_of_a_canary(service: Service, make: Callable[..., str]) -> None:
    service_canary(service, make("bad", fails=True))
    answers = [service.ask(f"user{n}") for n in range(50)]
    assert all(answer["items"] for answer in answers)


def test_a_canary_is_not_judged_before_its_minimum_of_requests(
    service: Service, make: Callable[..., str]
) -> None:
    service_canary(service, make("bad", fails=True), minimum_requests=10_000)
    traffic(service, 100)
    assert stopped(service) is None


def test_answers_that_are_lost_to_shoppers_stop_a_canary_at_once(
    service: Service, make: Callable[..., str]
) -> None:
    service_canary(service, make("bad", seconds=61.0))
    trial = service.backend.releases.roles.canary
    assert trial is not None
    on_trial = [user for user in map(str, range(20)) if trial.is_canary(user)][:3]
    for user in on_trial:
        service.ask(user)
    service.watcher.look()
    assert stopped(service) == "latency"


def test_a_canary_that_was_stopped_can_be_started_again(
    service: Service, make: Callable[..., str]
) -> None:
    bad = make("bad", fails=True)
    service_canary(service, bad)
    traffic(service)
    assert stopped(service) == "errors"
    service_canary(service, bad)
    assert service.backend.releases.roles.canary is not None


def test_a_shadow_scores_the_same_requests_and_nobody_sees_it(
    service: Service, old: str, make: Callable[..., str], url: str
) -> None:
    new = changes.set_shadow(make("new", reversed=True), service.place).shadow
    service.watcher.look()
    shadow = service.backend.releases.roles.shadow
    assert shadow is not None
    answers = [service.ask(f"user{n}") for n in range(20)]
    assert {answer["model_version"] for answer in answers} == {old}
    changes.set_shadow(None, service.place)
    service.watcher.look()
    rows = shadow_rows(url)
    assert {row["request_id"] for row in rows} == {answer["request_id"] for answer in answers}
    assert {row["model_version"] for row in rows} == {new}
    shown = {answer["request_id"]: [i["item_id"] for i in answer["items"]] for answer in answers}
    assert all(row["items"] == shown[row["request_id"]][::-1] for row in rows)


def shadow_rows(url: str) -> list[dict[str, Any]]:
    store = EventStore(url)
    with store.database.reading("the answers") as connection:
        rows = [dict(row) for row in connection.execute(sa.select(SHADOW_ANSWERS)).mappings()]
    store.close()
    return rows


def test_a_shadow_that_fails_or_falls_behind_is_counted_and_harms_no_request(
    service: Service, make: Callable[..., str], url: str
) -> None:
    changes.set_shadow(make("bad", fails=True), service.place)
    service.watcher.look()
    shadow = service.backend.releases.roles.shadow
    assert shadow is not None
    for number in range(5):
        assert service.ask(f"user{number}")["items"]
    shadow.close()
    assert all("ZeroDivisionError" in row["error"] for row in shadow_rows(url))
    answer = service.backend.releases.recommend(RecommendRequest(user_id="ann"))
    offered = [shadow.offer(RecommendRequest(user_id="ann"), answer) for _ in range(1_000)]
    assert offered[0]
    assert not offered[-1]
    assert service.ask()["items"]


def test_the_new_champion_was_learning_while_it_was_in_the_shadow(
    service: Service, make: Callable[..., str]
) -> None:
    new = changes.set_shadow(make("new"), service.place).shadow
    service.watcher.look()
    service.send("purchase", "tea")
    changes.promote(str(new), service.place)
    service.watcher.look()
    assert service.version() == new
    scores = {item["item_id"]: item["score"] for item in service.ask(k=5)["items"]}
    assert scores["tea"] == 1.0


def test_a_service_that_can_write_nothing_still_answers_and_follows(
    service: Service, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(running, "say", refuse)
    monkeypatch.setattr(running, "still_there", refuse)
    new = changes.promote(make("new"), service.place).champion
    service.watcher.look()
    service.watcher.look()
    assert service.version() == new


@pytest.fixture
def project(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseStore:
    """The working directory is a project with a champion; commands and services meet there."""
    for name in ("EVERGREEN_BUNDLE", "EVERGREEN_RELEASES", "EVERGREEN_EVENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    write_fake(shop_folder / "models" / "champion", "old")
    return ReleaseStore()


def test_the_commands_work_when_no_service_runs(
    project: ReleaseStore, make: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make("new")
    assert promote.main([bundle]) == 0
    assert "No service runs" in capsys.readouterr().out
    assert rollback.main([]) == 0
    new = str(project.pointer().previous)
    assert shadow_command.main([new]) == 0
    assert canary_command.main([new, "--share", "0.1"]) == 0
    capsys.readouterr()
    assert releases.main([]) == 0
    told = capsys.readouterr().out
    assert f"shadow    {new}" in told
    assert "10.0% of shoppers" in told
    assert "no service" in told
    assert shadow_command.main(["--stop"]) == 0
    assert canary_command.main(["--stop"]) == 0
    assert project.pointer().canary is None


@pytest.mark.parametrize("share", ["0", "0.6", "-1", "many", "nan"])
def test_a_share_that_makes_no_sense_is_refused(project: ReleaseStore, share: str) -> None:
    with pytest.raises(SystemExit):
        canary_command.main(["aaaaaaaaaaaa", "--share", share])


def test_a_command_says_after_how_many_seconds_the_running_service_followed(
    project: ReleaseStore, make: Callable[..., str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service(project, url)
    service.watcher.start()
    try:
        wait_for_worker(project)
        assert promote.main([make("new")]) == 0
        assert "The running service follows since" in capsys.readouterr().out
        assert service.version() == project.pointer().champion
        assert releases.main([]) == 0
        assert f"answers with {project.pointer().champion}" in capsys.readouterr().out
    finally:
        service.close()
    assert running.running(project.folder) == {}


def wait_for_worker(place: ReleaseStore) -> None:
    done = threading.Event()
    for _ in range(600):
        if running.running(place.folder):
            return
        done.wait(0.1)
    raise AssertionError("the service never said what it answers with")


def test_a_service_that_was_killed_is_not_waited_for(
    project: ReleaseStore, old_worker: Path
) -> None:
    assert running.wait_until_followed(project.folder, 10**12, None, timeout_seconds=60) is None
    running.gone(project.folder)
    assert not old_worker.exists()


@pytest.fixture
def old_worker(project: ReleaseStore) -> Path:
    path = project.folder / running.RUNNING / "elsewhere-7.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"change": 1, "champion": "aaaaaaaaaaaa"}')
    before = (datetime.now(UTC) - timedelta(minutes=5)).timestamp()
    os.utime(path, (before, before))
    return path


def test_a_service_that_does_not_follow_is_named(project: ReleaseStore, old_worker: Path) -> None:
    old_worker.touch()
    with pytest.raises(Exception, match="elsewhere-7"):
        running.wait_until_followed(project.folder, 2, None, timeout_seconds=0.2)


def test_the_report_compares_the_shadow_with_what_was_shown(
    project: ReleaseStore, make: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{Path.cwd() / 'data' / 'events.db'}"
    service = Service(project, url)
    shadow = changes.set_shadow(make("new", reversed=True), project).shadow
    service.watcher.look()
    for number in range(10):
        service.ask(f"user{number}")
    service.close()
    assert compare.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shadow"] == shadow
    assert (told["requests_compared"], told["failed_fraction"]) == (10, 0.0)
    assert (told["overlap@1"], told["overlap@5"], told["same_fraction"]) == (0.0, 1.0, 0.0)
    # Three items reversed: 0 of 1, 1 of 2, 3 of 3.
    assert told["rank_agreement"] == pytest.approx((0 + 1 / 2 + 1) / 3)
    assert compare.main([]) == 0
    assert "overlap@10" in capsys.readouterr().out


def test_without_a_shadow_there_is_nothing_to_compare(
    project: ReleaseStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(Exception, match="no shadow"):
        compare.main([])
