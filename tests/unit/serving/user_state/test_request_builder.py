"""A request built live equals the one that training builds from histories of all events."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from pipeline.event_store.store import SOURCE, StoredEvent
from pipeline.event_store.suppression import SuppressionList, hash_user
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.user_state.recent_events import RECENT_EVENTS, PastEvents, RecentEvents
from pipeline.serving.user_state.recent_purchases import RecentPurchases
from pipeline.serving.user_state.request_builder import RequestBuilder
from tests.support.fake_bundle import AS_OF, BREAD, ITEMS, MILK, TEA

ZONE = "America/New_York"
VOCABULARY = Vocabulary(ITEMS)


def stored(index: int, row: Any) -> StoredEvent:
    return StoredEvent(
        event_id=str(index),
        user_id=row.user_id,
        item_id=row.item_id,
        timestamp=row.timestamp.to_pydatetime(),
        event_type=row.event_type,
        quantity=row.quantity,
        price=row.price,
        discount=0.0,
        basket_id=None if pd.isna(row.basket_id) else row.basket_id,
        session_id=None,
        store_id=None,
        source=SOURCE,
        received_at=AS_OF,
    )


def some_events(seed: int, n: int) -> pd.DataFrame:
    """Baskets of three users around as_of; some items unknown, some lines twice."""
    generator = np.random.default_rng(seed)
    basket = generator.integers(0, n // 3, n)
    hours = np.sort(generator.choice(2 * 24 * 40, n // 3, replace=False))
    events = pd.DataFrame(
        {
            "user_id": np.array(["ann", "bob", "cat"])[basket % 3],
            "item_id": generator.choice([*ITEMS, "caviar"], n),
            "timestamp": pd.to_datetime(AS_OF) + pd.to_timedelta((hours[basket] - 960) / 2, "h"),
            "event_type": "purchase",
            "quantity": generator.integers(1, 5, n).astype(float),
            "price": generator.random(n).round(2),
            "basket_id": [f"b{number}" for number in basket],
        }
    )
    events.loc[events["item_id"].eq("caviar") & (events["timestamp"] < AS_OF), "item_id"] = "tea"
    alone = events["timestamp"].ge(AS_OF) & (basket % 4 == 0)
    return events.assign(basket_id=events["basket_id"].mask(alone))


def with_days(events: pd.DataFrame) -> pd.DataFrame:
    """Purchases without a basket get the shop's day as basket, as in collection."""
    days = events["timestamp"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d")
    return events.assign(basket_id=events["basket_id"].fillna(days))


def make_builder(
    events: pd.DataFrame,
    attributes: pd.DataFrame | None = None,
    maximum_lines: int | None = None,
) -> tuple[RequestBuilder, RecentEvents]:
    known = events[events["timestamp"] < AS_OF]
    histories = build_histories(known, VOCABULARY, maximum_lines=maximum_lines)
    recent_events = RecentEvents(VOCABULARY, since=AS_OF.timestamp(), zone=ZoneInfo(ZONE))
    codes = pd.DataFrame(index=pd.Index([], dtype=str)) if attributes is None else attributes
    builder = RequestBuilder(
        histories, codes, recent_events, timezone=ZONE, cart_hours=24, viewed_minutes=60
    )
    return builder, recent_events


def build(builder: RequestBuilder, user_id: str, moment: float, **given: Any) -> Requests:
    return builder.build(builder.build_context(user_id, moment, **given))


def assert_equal(actual: Requests, expected: Requests) -> None:
    for field in fields(Requests):
        left, right = getattr(actual, field.name), getattr(expected, field.name)
        assert left.dtype == right.dtype, field.name
        np.testing.assert_array_equal(left, right, err_msg=field.name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("days", [-60, -10.25, -0.5, 0, 0.5, 7.3, 60])
def test_a_live_request_equals_the_one_that_training_builds(seed: int, days: float) -> None:
    events = some_events(seed, 240)
    attributes = pd.DataFrame({"age": [3, 1]}, index=pd.Index(["ann", "bob"], dtype=str))
    builder, recent_events = make_builder(events, attributes)
    later = events[events["timestamp"] >= AS_OF].sample(frac=1, random_state=seed)
    for start in range(0, len(later), 7):  # events arrive in parts and in any order
        part = later.iloc[start : start + 7]
        recent_events.extend(
            stored(start + i, row) for i, row in enumerate(part.itertuples(index=False))
        )
    moment = AS_OF + timedelta(days=days)
    everything = build_histories(with_days(events[events["timestamp"] < moment]), VOCABULARY)
    for user_id in ("ann", "bob", "cat", "nobody"):
        expected = build_requests(
            everything,
            [user_id],
            [moment],
            carts=[np.array([MILK], dtype=np.int32)],
            viewed=[np.array([BREAD], dtype=np.int32)],
            attributes=attributes,
            timezone=ZONE,
        )
        actual = build(builder, user_id, moment.timestamp(), cart=[MILK], viewed=[BREAD])
        assert_equal(actual, expected)


def at(minutes: float) -> datetime:
    return AS_OF + timedelta(days=1, minutes=minutes)


def event(kind: str, item: str, minutes: float, *, quantity: float = 1.0) -> StoredEvent:
    row = pd.Series(
        {
            "user_id": "ann",
            "item_id": item,
            "timestamp": pd.Timestamp(at(minutes)),
            "event_type": kind,
            "quantity": quantity,
            "price": 1.0,
            "basket_id": None,
        }
    )
    return stored(hash((kind, item, minutes)), row)


def items_in_cart(events: list[StoredEvent], minutes: float) -> list[int]:
    builder, recent_events = make_builder(some_events(0, 60))
    recent_events.extend(events)
    return build(builder, "ann", at(minutes).timestamp()).cart_item.tolist()


def test_the_cart_holds_items_added_and_neither_bought_nor_removed() -> None:
    events = [
        event("cart", "milk", 0),
        event("cart", "bread", 1),
        event("cart", "tea", 2),
        event("purchase", "milk", 3),
        event("cart", "bread", 4, quantity=0),
    ]
    assert items_in_cart(events, 2.5) == [MILK, BREAD, TEA]
    assert items_in_cart(events, 5) == [TEA]


def test_items_leave_the_cart_after_cart_hours() -> None:
    assert items_in_cart([event("cart", "milk", 0)], 24 * 60) == [MILK]
    assert items_in_cart([event("cart", "milk", 0)], 24 * 60 + 1) == []


def test_viewed_items_are_those_of_the_last_hour_latest_first() -> None:
    builder, recent_events = make_builder(some_events(0, 60))
    recent_events.extend(
        [event("view", "milk", 0), event("view", "tea", 30), event("view", "bread", 40)]
    )
    recent_events.extend([event("view", "caviar", 41), event("view", "tea", 50)])
    assert build(builder, "ann", at(45).timestamp()).viewed_item.tolist() == [BREAD, TEA, MILK]
    assert build(builder, "ann", at(90.5).timestamp()).viewed_item.tolist() == [TEA, BREAD]
    given = build(builder, "ann", at(90.5).timestamp(), viewed=[MILK, 0]).viewed_item.tolist()
    assert given == [MILK, TEA, BREAD]


def test_an_event_at_the_moment_of_the_request_is_not_included() -> None:
    assert items_in_cart([event("cart", "milk", 0)], 0) == []


def test_events_before_as_of_are_ignored() -> None:
    _, recent_events = make_builder(some_events(0, 60))
    recent_events.extend([event("purchase", "milk", -2 * 24 * 60)])
    assert len(recent_events) == 0


def test_the_moment_is_after_an_event_from_a_clock_that_is_ahead() -> None:
    builder, recent_events = make_builder(some_events(0, 60))
    recent_events.extend([event("cart", "milk", 3)])
    moment = builder.moment("ann", at(0).timestamp())
    assert build(builder, "ann", moment).cart_item.tolist() == [MILK]
    assert builder.moment("bob", 5.0) == 5.0


def test_a_return_changes_nothing() -> None:
    builder, recent_events = make_builder(some_events(0, 60))
    before = build(builder, "ann", at(5).timestamp())
    recent_events.extend([event("return", "milk", 0)])
    assert_equal(build(builder, "ann", at(5).timestamp()), before)


def test_merged_lines_of_suppressed_users_are_removed() -> None:
    builder, recent_events = make_builder(some_events(0, 60))
    before = build(builder, "ann", at(5).timestamp())
    recent_events.extend([event("purchase", "milk", 0)])
    assert len(build(builder, "ann", at(5).timestamp()).item) == len(before.item) + 1
    suppressed = SuppressionList([hash_user("ann", "00" * 16)])
    recent_events.drop(suppressed)
    builder.drop(suppressed)
    assert_equal(build(builder, "ann", at(5).timestamp()), before)
    assert not builder._lines._merged


MAXIMUM = 30


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("days", [-10.25, 0, 0.5, 7.3, 60])
def test_a_live_request_of_a_heavy_user_equals_the_one_that_training_builds(
    seed: int, days: float
) -> None:
    events = some_events(seed, 900)
    known = events[events["timestamp"] < AS_OF]
    builder, recent_events = make_builder(events, maximum_lines=MAXIMUM)
    assert len(known) > 3 * MAXIMUM
    later = events[events["timestamp"] >= AS_OF].sample(frac=1, random_state=seed)
    moment = AS_OF + timedelta(days=days)
    everything = build_histories(
        with_days(events[events["timestamp"] < moment]), VOCABULARY, maximum_lines=MAXIMUM
    )
    for start in range(0, len(later), 50):  # requests in between extend the merged lines
        part = later.iloc[start : start + 50]
        recent_events.extend(
            stored(start + i, row) for i, row in enumerate(part.itertuples(index=False))
        )
        for user_id in ("ann", "bob", "cat"):
            build(builder, user_id, builder.moment(user_id, 0.0))
    for user_id in ("ann", "bob", "cat"):
        expected = build_requests(everything, [user_id], [moment], timezone=ZONE)
        actual = build(builder, user_id, moment.timestamp())
        assert len(actual.item) == MAXIMUM
        assert_equal(actual, expected)


@pytest.mark.parametrize("n_before", [1_000, 20_000])
def test_the_cost_of_an_event_and_a_request_does_not_depend_on_history(
    n_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, recent_events = make_builder(some_events(0, 60), maximum_lines=MAXIMUM)
    recent_events.extend(purchase(number) for number in range(n_before))
    moment = AS_OF.timestamp() + n_before + 0.5
    assert len(build(builder, "ann", moment).item) == MAXIMUM
    first = recent_events.before("ann", moment)
    added: list[int] = []
    read: list[int] = []
    add, since = RecentPurchases.add, PastEvents.since

    def count_added(self: RecentPurchases, purchases: Any) -> None:
        added.append(len(purchases))
        add(self, purchases)

    def count_read(self: PastEvents, after: float) -> Any:
        events = since(self, after)
        read.append(len(events))
        return events

    monkeypatch.setattr(RecentPurchases, "add", count_added)
    monkeypatch.setattr(PastEvents, "since", count_read)
    recent_events.extend([purchase(n_before)])
    second = recent_events.before("ann", moment + 1)
    assert second.timeline.ordered is first.timeline.ordered  # appended, not copied
    assert len(build(builder, "ann", moment + 1).item) == MAXIMUM
    assert added == [1]
    assert len(build(builder, "ann", moment + 1).item) == MAXIMUM
    assert added == [1]
    assert max(read) <= RECENT_EVENTS


def purchase(number: int) -> StoredEvent:
    """One basket a second after `as_of`."""
    row = pd.Series(
        {
            "user_id": "ann",
            "item_id": ITEMS[number % len(ITEMS)],
            "timestamp": pd.Timestamp(AS_OF) + pd.Timedelta(seconds=number),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 1.0,
            "basket_id": f"basket-{number}",
        }
    )
    return stored(number, row)


def test_past_events_are_equal_if_no_event_arrived_in_between() -> None:
    _, recent_events = make_builder(some_events(0, 60))
    recent_events.extend([purchase(0), purchase(1)])
    moment = AS_OF.timestamp() + 1.5
    before = recent_events.before("ann", moment)
    assert before == recent_events.before("ann", moment + 1)
    assert before != recent_events.before("ann", moment - 1)
    recent_events.extend([purchase(1)])  # again: nothing new
    assert before == recent_events.before("ann", moment)
    recent_events.extend([purchase(2)])
    assert before != recent_events.before("ann", moment)
    recent_events.extend([event("view", "milk", 0)])
    assert [event.kind for event in recent_events.before("ann", np.inf)][-1] == "view"


def test_a_late_event_is_inserted_in_time_order() -> None:
    _, recent_events = make_builder(some_events(0, 60))
    recent_events.extend([purchase(number) for number in (5, 1, 3)])
    first = recent_events.before("ann", np.inf)
    recent_events.extend([purchase(2)])
    times = [event.time - AS_OF.timestamp() for event in recent_events.before("ann", np.inf)]
    assert times == [1, 2, 3, 5]
    assert [event.time - AS_OF.timestamp() for event in first] == [1, 3, 5]  # unchanged
