"""What the model said of a shopper holds until something is new, and no longer."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList, entry_of
from pipeline.serving.engine.answer_cache import CachePolicy, NotCachedError
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import Event, RecommendRequest
from tests.support.fake_bundle import FakeBundle, serving_params

NOON = datetime(2024, 6, 3, 12, 10, tzinfo=UTC)
Ask = Callable[..., list[str]]


class Shop:
    """A shelf, and how often its model was asked since it was warm."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.bundle = FakeBundle()
        served: Any = self.bundle
        self.store = EventStore(f"sqlite:///{folder}/events.db")
        self.shelf = RecommendationEngine(served, self.store, serving_params(**changes))
        self._warm = len(self.bundle.recommender.requests)

    def ask(self, user_id: str = "ann", at: datetime = NOON, **more: Any) -> list[str]:
        """Return what is recommended when the clock says `at`."""
        query = RecommendRequest(**{"user_id": user_id, "explore_slots": 0, **more})
        answer = self.shelf.answer(query, at, "request").answer
        return [item.item_id for item in answer.items]

    @property
    def n_asked(self) -> int:
        return len(self.bundle.recommender.requests) - self._warm


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path, keep_minutes=10)
    yield shop
    shop.shelf.close()


def event(kind: str, item: str, user_id: str = "ann") -> Event:
    at = NOON - timedelta(minutes=1)
    return Event(user_id=user_id, item_id=item, event_type=kind, timestamp=at)  # type: ignore[arg-type]


def test_the_model_is_asked_once_when_nothing_is_new(shop: Shop) -> None:
    first = shop.ask()
    assert shop.ask(at=NOON + timedelta(minutes=9)) == first
    assert shop.n_asked == 1


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
def test_the_model_is_asked_again_when_the_request_is_another(
    shop: Shop, more: dict[str, Any]
) -> None:
    shop.ask()
    shop.ask(**more)
    assert shop.n_asked == 2


def test_shoppers_who_came_together_do_not_need_the_model_together(shop: Shop) -> None:
    users = [f"user{number}" for number in range(200)]

    def n_asked_after(minutes: float) -> int:
        before = shop.n_asked
        for user in users:
            shop.ask(user, NOON + timedelta(minutes=minutes))
        return shop.n_asked - before

    assert n_asked_after(0) == len(users)
    assert n_asked_after(4.9) == 0
    some = n_asked_after(7.5)
    assert 60 < some < 140
    assert n_asked_after(10.1) == len(users) - some


def test_it_does_not_hold_beyond_the_hour(shop: Shop) -> None:
    shop.ask(at=NOON + timedelta(minutes=48))
    shop.ask(at=NOON + timedelta(minutes=51))
    assert shop.n_asked == 2


@pytest.mark.parametrize("kind", ["view", "cart", "purchase"])
def test_an_event_of_the_shopper_ends_it_and_one_of_another_does_not(shop: Shop, kind: str) -> None:
    before = shop.ask()
    shop.shelf.append([event(kind, "tea", "bob")])
    assert shop.ask() == before
    assert shop.n_asked == 1
    shop.shelf.append([event(kind, "tea")])
    assert shop.ask() != before
    assert shop.n_asked == 2


def test_the_cart_that_aged_out_ends_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, keep_minutes=10, cart_hours=0.05)
    shop.shelf.append([event("cart", "milk")])
    assert "milk" not in shop.ask()
    assert "milk" in shop.ask(at=NOON + timedelta(minutes=5))
    shop.shelf.close()


def test_rules_count_anew_in_every_answer(shop: Shop) -> None:
    first, second, *_ = shop.ask(k=3)
    assert shop.ask(k=3, exclude=[first])[0] == second
    assert shop.ask(k=1) == [first]


def test_an_answer_for_another_moment_is_neither_kept_nor_given(shop: Shop) -> None:
    query = RecommendRequest(user_id="ann", at=NOON)
    for _ in range(2):
        shop.shelf.answer(query, NOON, "request")
    assert shop.n_asked == 2
    assert len(shop.shelf.answering.kept) == 0


def test_a_moment_that_a_request_names_is_answered_for_that_moment(shop: Shop) -> None:
    shop.ask()
    query = RecommendRequest(user_id="ann", at=NOON + timedelta(minutes=1))
    shop.shelf.answer(query, NOON, "request")
    assert shop.n_asked == 2


def test_what_is_not_kept_is_not_asked_for_where_only_that_is_wanted(shop: Shop) -> None:
    query = RecommendRequest(user_id="ann", explore_slots=0)
    with pytest.raises(NotCachedError):
        shop.shelf.recommend(query, CachePolicy.KEPT)
    assert shop.n_asked == 0
    asked = shop.shelf.recommend(query)
    kept = shop.shelf.recommend(query, CachePolicy.KEPT)
    assert kept.items == asked.items
    assert shop.n_asked == 1


def test_a_fresh_answer_asks_the_model(shop: Shop) -> None:
    query = RecommendRequest(user_id="ann")
    for _ in range(2):
        shop.shelf.recommend(query, CachePolicy.MODEL)
    assert shop.n_asked == 2


def test_after_an_event_what_is_asked_next_can_be_made_ready(shop: Shop) -> None:
    query = RecommendRequest(user_id="ann")
    shop.shelf.recommend(query)
    shop.shelf.append([Event(user_id="ann", item_id="tea", event_type="view")])
    shop.shelf.prepare(["ann", "somebody whom nobody asked about"])
    assert shop.n_asked == 2
    shop.shelf.recommend(query)
    assert shop.n_asked == 2


def test_nothing_is_kept_when_it_is_switched_off(tmp_path: Path) -> None:
    shop = Shop(tmp_path, keep_minutes=0)
    shop.ask()
    shop.ask()
    assert (shop.n_asked, len(shop.shelf.answering.kept)) == (2, 0)
    shop.shelf.close()


def test_of_many_shoppers_those_asked_about_last_are_kept(tmp_path: Path) -> None:
    shop = Shop(tmp_path, keep_minutes=10, keep_shoppers=2)
    for user_id in ("ann", "bob", "ann", "cat"):
        shop.ask(user_id)
    assert shop.n_asked == 3
    shop.ask("ann")
    assert shop.n_asked == 3
    shop.ask("bob")
    assert shop.n_asked == 4
    shop.shelf.close()


def test_what_was_said_of_a_person_who_is_forgotten_is_lost(shop: Shop) -> None:
    shop.ask()
    shop.ask("bob")
    shop.shelf.forget(SuppressionList([entry_of("ann", "00ff")]))
    kept = shop.shelf.answering.kept
    assert [query.user_id for query in kept.asked(["ann", "bob"])] == ["bob"]


def test_contributions_and_reasons_are_those_of_the_first_answer(shop: Shop) -> None:
    query = RecommendRequest(user_id="ann", explain=True)
    first, second = (shop.shelf.answer(query, NOON, "request").answer for _ in range(2))
    assert shop.n_asked == 1
    assert first == second
    assert first.items[0].contributions
