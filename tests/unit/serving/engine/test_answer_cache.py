"""A cached answer is valid until something is new about its user."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList, hash_user
from pipeline.serving.engine.answer_cache import CachePolicy, NotCachedError
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import Event, RecommendRequest
from tests.support.fake_bundle import FakeBundle, serving_params

NOON = datetime(2024, 6, 3, 12, 10, tzinfo=UTC)


class CountingEngine:
    """An engine, and the number of model calls since its warm-up."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.bundle = FakeBundle()
        served: Any = self.bundle
        self.store = EventStore(f"sqlite:///{folder}/events.db")
        self.engine = RecommendationEngine(served, self.store, serving_params(**changes))
        self._warm = len(self.bundle.recommender.requests)

    def ask(self, user_id: str = "ann", at: datetime = NOON, **more: Any) -> list[str]:
        """Return the items recommended at the time `at`."""
        query = RecommendRequest(**{"user_id": user_id, "explore_slots": 0, **more})
        answer = self.engine.answer(query, at, "request").answer
        return [item.item_id for item in answer.items]

    @property
    def n_calls(self) -> int:
        return len(self.bundle.recommender.requests) - self._warm


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[CountingEngine]:
    counted = CountingEngine(tmp_path, keep_minutes=10)
    yield counted
    counted.engine.close()


def event(kind: str, item: str, user_id: str = "ann") -> Event:
    at = NOON - timedelta(minutes=1)
    return Event(user_id=user_id, item_id=item, event_type=kind, timestamp=at)  # type: ignore[arg-type]


def test_the_model_is_called_once_when_nothing_is_new(counted: CountingEngine) -> None:
    first = counted.ask()
    assert counted.ask(at=NOON + timedelta(minutes=9)) == first
    assert counted.n_calls == 1


@pytest.mark.parametrize(
    "more",
    [
        {"at": NOON + timedelta(minutes=11)},
        {"at": NOON - timedelta(seconds=1)},
        {"user_id": "bob"},
        {"cart": ["tea"]},
        {"viewed": ["tea"]},
        {"k": 50},
    ],
)
def test_a_different_request_calls_the_model_again(
    counted: CountingEngine, more: dict[str, Any]
) -> None:
    counted.ask()
    counted.ask(**more)
    assert counted.n_calls == 2


def test_answers_of_users_who_came_together_expire_at_different_times(
    counted: CountingEngine,
) -> None:
    users = [f"user{number}" for number in range(200)]

    def n_calls_after(minutes: float) -> int:
        before = counted.n_calls
        for user in users:
            counted.ask(user, NOON + timedelta(minutes=minutes))
        return counted.n_calls - before

    assert n_calls_after(0) == len(users)
    assert n_calls_after(4.9) == 0
    some = n_calls_after(7.5)
    assert 60 < some < 140
    assert n_calls_after(10.1) == len(users) - some


def test_an_answer_expires_at_the_end_of_the_hour(counted: CountingEngine) -> None:
    counted.ask(at=NOON + timedelta(minutes=48))
    counted.ask(at=NOON + timedelta(minutes=51))
    assert counted.n_calls == 2


@pytest.mark.parametrize("kind", ["view", "cart", "purchase"])
def test_an_event_expires_the_answer_of_its_user_only(counted: CountingEngine, kind: str) -> None:
    before = counted.ask()
    counted.engine.append([event(kind, "tea", "bob")])
    assert counted.ask() == before
    assert counted.n_calls == 1
    counted.engine.append([event(kind, "tea")])
    assert counted.ask() != before
    assert counted.n_calls == 2


def test_an_answer_expires_when_the_cart_ages_out(tmp_path: Path) -> None:
    counted = CountingEngine(tmp_path, keep_minutes=10, cart_hours=0.05)
    counted.engine.append([event("cart", "milk")])
    assert "milk" not in counted.ask()
    assert "milk" in counted.ask(at=NOON + timedelta(minutes=5))
    counted.engine.close()


def test_rules_apply_to_cached_answers(counted: CountingEngine) -> None:
    first, second, *_ = counted.ask(k=3)
    assert counted.ask(k=3, exclude=[first])[0] == second
    assert counted.ask(k=1) == [first]


def test_a_request_with_at_is_not_cached(counted: CountingEngine) -> None:
    query = RecommendRequest(user_id="ann", at=NOON)
    for _ in range(2):
        counted.engine.answer(query, NOON, "request")
    assert counted.n_calls == 2
    assert len(counted.engine.runtime.cache) == 0


def test_a_request_with_at_is_not_answered_from_the_cache(counted: CountingEngine) -> None:
    counted.ask()
    query = RecommendRequest(user_id="ann", at=NOON + timedelta(minutes=1))
    counted.engine.answer(query, NOON, "request")
    assert counted.n_calls == 2


def test_cache_only_never_calls_the_model(counted: CountingEngine) -> None:
    query = RecommendRequest(user_id="ann", explore_slots=0)
    with pytest.raises(NotCachedError):
        counted.engine.recommend(query, CachePolicy.CACHE_ONLY)
    assert counted.n_calls == 0
    fresh = counted.engine.recommend(query)
    cached = counted.engine.recommend(query, CachePolicy.CACHE_ONLY)
    assert cached.items == fresh.items
    assert counted.n_calls == 1


def test_model_only_calls_the_model_every_time(counted: CountingEngine) -> None:
    query = RecommendRequest(user_id="ann")
    for _ in range(2):
        counted.engine.recommend(query, CachePolicy.MODEL_ONLY)
    assert counted.n_calls == 2


def test_refresh_cache_answers_the_last_query_again(counted: CountingEngine) -> None:
    query = RecommendRequest(user_id="ann")
    counted.engine.recommend(query)
    counted.engine.append([Event(user_id="ann", item_id="tea", event_type="view")])
    counted.engine.refresh_cache(["ann", "unknown"])
    assert counted.n_calls == 2
    counted.engine.recommend(query)
    assert counted.n_calls == 2


def test_zero_minutes_disable_the_cache(tmp_path: Path) -> None:
    counted = CountingEngine(tmp_path, keep_minutes=0)
    counted.ask()
    counted.ask()
    assert (counted.n_calls, len(counted.engine.runtime.cache)) == (2, 0)
    counted.engine.close()


def test_the_least_recently_used_answer_is_evicted(tmp_path: Path) -> None:
    counted = CountingEngine(tmp_path, keep_minutes=10, keep_shoppers=2)
    for user_id in ("ann", "bob", "ann", "cat"):
        counted.ask(user_id)
    assert counted.n_calls == 3
    counted.ask("ann")
    assert counted.n_calls == 3
    counted.ask("bob")
    assert counted.n_calls == 4
    counted.engine.close()


def test_answers_of_suppressed_users_are_removed(counted: CountingEngine) -> None:
    counted.ask()
    counted.ask("bob")
    counted.engine.forget(SuppressionList([hash_user("ann", "00ff")]))
    cache = counted.engine.runtime.cache
    assert [query.user_id for query in cache.last_queries(["ann", "bob"])] == ["bob"]


def test_contributions_and_reasons_are_those_of_the_first_answer(counted: CountingEngine) -> None:
    query = RecommendRequest(user_id="ann", explain=True)
    first, second = (counted.engine.answer(query, NOON, "request").answer for _ in range(2))
    assert counted.n_calls == 1
    assert first == second
    assert first.items[0].contributions
