"""Several services on one event store: each soon knows what came to the others."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from pipeline.event_store.errors import StoreError
from pipeline.event_store.store import EventStore
from pipeline.serving.engine import shared_state
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.engine.shared_state import OVERLAP
from pipeline.serving.payloads import Event, RecommendRequest
from pipeline.serving.reranking.availability import ItemAvailability
from tests.support.fake_bundle import FakeBundle, serving_params
from tests.support.served import eventually
from tests.unit.event_store.rows import event

NEVER = 3_600.0


@pytest.fixture
def start(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., RecommendationEngine]]:
    """Start a worker; the tests say when it looks, unless they name its seconds."""
    shelves: list[RecommendationEngine] = []

    def started(seconds: float = NEVER) -> RecommendationEngine:
        often = {"follow_seconds": seconds, "look_seconds": seconds}
        monkeypatch.setattr(shared_state.SharedState.__init__, "__kwdefaults__", often)
        bundle: Any = FakeBundle()
        shelves.append(
            RecommendationEngine(bundle, EventStore(url, lock_seconds=5), serving_params())
        )
        return shelves[-1]

    yield started
    for shelf in shelves:
        shelf.close()


def bought(shelf: RecommendationEngine, item: str = "tea", user_id: str = "ann") -> float:
    """How often the worker thinks that a shopper bought an item: the fake model's score."""
    answer = shelf.recommend(RecommendRequest(user_id=user_id, k=5, explore_slots=0))
    return next(each.score for each in answer.items if each.item_id == item)


def buy(shelf: RecommendationEngine, item: str = "tea", **more: Any) -> None:
    """Buy an item in a basket of its own."""
    more.setdefault("basket_id", uuid4().hex)
    shelf.append([Event(user_id="ann", item_id=item, event_type="purchase", **more)])


def test_a_worker_learns_what_came_to_another(start: Callable[..., RecommendationEngine]) -> None:
    here, there = start(seconds=0.05), start(seconds=0.05)
    buy(there)
    assert bought(there) == 1.0
    assert eventually(lambda: bought(here) == 1.0)
    buy(here)
    assert bought(here) == 2.0
    assert eventually(lambda: bought(there) == 2.0)


def test_an_event_counts_once_however_often_it_is_seen(
    start: Callable[..., RecommendationEngine],
) -> None:
    here = start()
    buy(here)
    there = start()  # it reads the first event at its start, and sees it again when it looks
    for _ in range(3):
        there.shared.poll()
        here.shared.poll()
    buy(there)
    for _ in range(3):
        here.shared.poll()
        there.shared.poll()
    assert bought(here) == bought(there) == 2.0


def test_an_event_that_was_received_before_but_written_later_is_not_missed(
    start: Callable[..., RecommendationEngine], url: str
) -> None:
    here = start()
    buy(here)
    here.shared.poll()
    late = datetime.now(UTC) - OVERLAP / 2
    other = EventStore(url)
    other.append([event("late", item_id="tea", timestamp=late, received_at=late)])
    other.close()
    here.shared.poll()
    assert bought(here) == 2.0


def test_a_clock_that_is_far_ahead_elsewhere_hides_no_event_from_here(
    start: Callable[..., RecommendationEngine], url: str
) -> None:
    here = start()
    ahead = datetime.now(UTC) + timedelta(days=1)
    other = EventStore(url)
    wrong = event("ahead", item_id="jam", user_id="bob", received_at=ahead)
    other.append([wrong])
    here.shared.poll()
    other.append([replace(wrong, event_id="right", item_id="milk", received_at=datetime.now(UTC))])
    other.close()
    here.shared.poll()
    assert bought(here, "milk", "bob") == 1.0


def test_nothing_is_read_again_while_nobody_else_writes(
    start: Callable[..., RecommendationEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = start()
    buy(here)
    here.shared.poll()

    def read(*_: Any) -> list[str]:
        raise AssertionError

    monkeypatch.setattr(EventStore, "received_since", read)
    buy(here)
    here.shared.poll()
    assert bought(here) == 2.0


def test_what_was_missed_while_the_store_was_away_is_learnt_afterwards(
    start: Callable[..., RecommendationEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = start(seconds=0.05), start()
    real = EventStore.n_received_since
    away = True

    def counted(self: EventStore, moment: datetime) -> int:
        if away:
            raise StoreError("it", received="away", action="Wait.")
        return real(self, moment)

    monkeypatch.setattr(EventStore, "n_received_since", counted)
    buy(there)
    time.sleep(0.3)
    assert bought(here) == 0.0
    away = False
    assert eventually(lambda: bought(here) == 1.0)


def test_a_worker_learns_what_another_was_told_cannot_be_bought(
    start: Callable[..., RecommendationEngine],
) -> None:
    here, there = start(seconds=0.05), start()

    def shown() -> set[str]:
        answer = here.recommend(RecommendRequest(user_id="ann", k=5))
        return {item.item_id for item in answer.items}

    assert "milk" in shown()
    there.availability.change([ItemAvailability(item_id="milk", available=False)])
    assert eventually(lambda: "milk" not in shown())
    there.availability.change([ItemAvailability(item_id="milk", available=True)])
    assert eventually(lambda: "milk" in shown())
