"""Several workers on one event store: each soon knows the events of the others."""

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
    """Start a worker that polls at an interval, or only when a test calls `poll`."""
    engines: list[RecommendationEngine] = []

    def started(seconds: float = NEVER) -> RecommendationEngine:
        intervals = {"poll_seconds": seconds, "refresh_seconds": seconds}
        monkeypatch.setattr(shared_state.SharedState.__init__, "__kwdefaults__", intervals)
        bundle: Any = FakeBundle()
        engines.append(
            RecommendationEngine(bundle, EventStore(url, lock_seconds=5), serving_params())
        )
        return engines[-1]

    yield started
    for engine in engines:
        engine.close()


def bought(engine: RecommendationEngine, item: str = "tea", user_id: str = "ann") -> float:
    """The number of purchases that the worker knows: the fake model's score."""
    answer = engine.recommend(RecommendRequest(user_id=user_id, k=5, explore_slots=0))
    return next(shown.score for shown in answer.items if shown.item_id == item)


def buy(engine: RecommendationEngine, item: str = "tea", **more: Any) -> None:
    """Buy an item in a basket of its own."""
    more.setdefault("basket_id", uuid4().hex)
    engine.append([Event(user_id="ann", item_id=item, event_type="purchase", **more)])


def test_a_worker_gets_the_events_of_another(start: Callable[..., RecommendationEngine]) -> None:
    first, second = start(seconds=0.05), start(seconds=0.05)
    buy(second)
    assert bought(second) == 1.0
    assert eventually(lambda: bought(first) == 1.0)
    buy(first)
    assert bought(first) == 2.0
    assert eventually(lambda: bought(second) == 2.0)


def test_an_event_counts_once_however_often_it_is_polled(
    start: Callable[..., RecommendationEngine],
) -> None:
    first = start()
    buy(first)
    second = start()  # it reads the first event at its start, and polls it again
    for _ in range(3):
        second.shared.poll()
        first.shared.poll()
    buy(second)
    for _ in range(3):
        first.shared.poll()
        second.shared.poll()
    assert bought(first) == bought(second) == 2.0


def test_an_event_received_earlier_but_written_later_is_not_missed(
    start: Callable[..., RecommendationEngine], url: str
) -> None:
    first = start()
    buy(first)
    first.shared.poll()
    late = datetime.now(UTC) - OVERLAP / 2
    other = EventStore(url)
    other.append([event("late", item_id="tea", timestamp=late, received_at=late)])
    other.close()
    first.shared.poll()
    assert bought(first) == 2.0


def test_a_worker_with_a_clock_far_ahead_hides_no_event(
    start: Callable[..., RecommendationEngine], url: str
) -> None:
    first = start()
    ahead = datetime.now(UTC) + timedelta(days=1)
    other = EventStore(url)
    wrong = event("ahead", item_id="jam", user_id="bob", received_at=ahead)
    other.append([wrong])
    first.shared.poll()
    other.append([replace(wrong, event_id="right", item_id="milk", received_at=datetime.now(UTC))])
    other.close()
    first.shared.poll()
    assert bought(first, "milk", "bob") == 1.0


def test_polling_reads_no_events_while_no_other_worker_writes(
    start: Callable[..., RecommendationEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start()
    buy(first)
    first.shared.poll()

    def read(*_: Any) -> list[str]:
        raise AssertionError

    monkeypatch.setattr(EventStore, "received_since", read)
    buy(first)
    first.shared.poll()
    assert bought(first) == 2.0


def test_events_missed_while_the_store_failed_are_read_later(
    start: Callable[..., RecommendationEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = start(seconds=0.05), start()
    real = EventStore.n_received_since
    away = True

    def count(self: EventStore, moment: datetime) -> int:
        if away:
            raise StoreError("it", received="away", action="Wait.")
        return real(self, moment)

    monkeypatch.setattr(EventStore, "n_received_since", count)
    buy(second)
    time.sleep(0.3)
    assert bought(first) == 0.0
    away = False
    assert eventually(lambda: bought(first) == 1.0)


def test_a_worker_gets_the_availability_set_at_another(
    start: Callable[..., RecommendationEngine],
) -> None:
    first, second = start(seconds=0.05), start()

    def shown() -> set[str]:
        answer = first.recommend(RecommendRequest(user_id="ann", k=5))
        return {item.item_id for item in answer.items}

    assert "milk" in shown()
    second.availability.apply([ItemAvailability(item_id="milk", available=False)])
    assert eventually(lambda: "milk" not in shown())
    second.availability.apply([ItemAvailability(item_id="milk", available=True)])
    assert eventually(lambda: "milk" in shown())
