"""Events, availability and forgotten users reach every loaded engine."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from pipeline.event_store.cleaning import forget
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.payloads import RecommendRequest
from pipeline.serving.releases import changes
from pipeline.serving.reranking.availability import ItemAvailability
from tests.support.fake_bundle import AS_OF
from tests.support.release_service import RULES, ReleaseService


def test_the_new_model_knows_what_happened_since_its_own_as_of(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    service.send("purchase", "tea", timestamp=(AS_OF + timedelta(days=1)).isoformat())
    service.send("purchase", "tea", timestamp=(AS_OF + timedelta(days=20)).isoformat())
    bought = [item["score"] for item in service.ask(k=5)["items"] if item["item_id"] == "tea"]
    assert bought == [2.0]
    changes.promote(make("later", as_of="2024-03-15"), service.release_store)
    service.watcher.poll()
    bought = [item["score"] for item in service.ask(k=5)["items"] if item["item_id"] == "tea"]
    assert bought == [1.0]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_events_that_come_in_while_a_model_is_loading_are_learnt_once(
    service: ReleaseService, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch, moment: str
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
    changes.promote(make("new"), service.release_store)
    monkeypatch.setattr(EventStore, "events_since", reading)
    service.watcher.poll()
    monkeypatch.undo()
    scores = service.scores()
    assert scores["tea"] == 1.0
    service.send("purchase", "tea", basket_id="another")
    scores = service.scores()
    assert scores["tea"] == 2.0


@pytest.mark.parametrize("role", ["loading", "canary", "champion"])
def test_what_cannot_be_bought_is_recommended_by_no_engine_whatever_its_role(
    service: ReleaseService, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    def sell_out() -> None:
        gone = [ItemAvailability(item_id="milk", available=False)]
        service.backend.releases.set_availability(gone)

    real = EventStore.events_since

    def reading(self: EventStore, *arguments: Any, **more: Any) -> Iterator[Any]:
        sell_out()
        yield from real(self, *arguments, **more)

    new = str(changes.set_canary(make("new"), 0.5, RULES, service.release_store).canary.version)  # type: ignore[union-attr]
    if role == "loading":
        monkeypatch.setattr(EventStore, "events_since", reading)
    service.watcher.poll()
    if role != "loading":
        sell_out()
    if role == "champion":
        changes.promote(new, service.release_store)
        service.watcher.poll()
    engines = service.backend.releases.roles.engines()
    assert new in engines
    for engine in engines.values():
        answer = engine.recommend(RecommendRequest(user_id="ann", k=5))
        assert "milk" not in [item.item_id for item in answer.items]


def test_a_forgotten_user_leaves_the_memory_of_every_engine_and_of_the_canary(
    service: ReleaseService, make: Callable[..., str], url: str
) -> None:
    service.start_canary(make("new"))
    canary = service.backend.releases.roles.canary
    assert canary is not None
    service.send("purchase", "tea", "zoe")
    service.ask("zoe")
    store = EventStore(url)
    forget(store.database, ["zoe"], SuppressionList())
    store.close()
    service.backend.engine.shared._forget()
    for engine in service.backend.releases.roles.engines().values():
        assert len(engine._recent_events.before("zoe", float("inf"))) == 0
    assert "zoe" not in canary._last_answers


def test_the_new_champion_was_learning_while_it_was_in_the_shadow(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    new = changes.set_shadow(make("new"), service.release_store).shadow
    service.watcher.poll()
    service.send("purchase", "tea")
    changes.promote(str(new), service.release_store)
    service.watcher.poll()
    assert service.version() == new
    scores = service.scores()
    assert scores["tea"] == 1.0
