"""A request built live equals the one that training builds from histories of all events."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from pipeline.event_store.store import SOURCE, StoredEvent
from pipeline.event_store.suppression import SuppressionList, entry_of
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.user_state.recent_events import RECENT_EVENTS, Past, RecentEvents
from pipeline.serving.user_state.recent_purchases import NewPurchases
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
    """Baskets of three shoppers around as_of; some items unknown, some lines twice."""
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
    """What collection makes of purchases without a basket: the shop's day is theirs."""
    days = events["timestamp"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d")
    return events.assign(basket_id=events["basket_id"].fillna(days))


def builder_of(
    events: pd.DataFrame,
    attributes: pd.DataFrame | None = None,
    maximum_lines: int | None = None,
) -> tuple[RequestBuilder, RecentEvents]:
    known = events[events["timestamp"] < AS_OF]
    histories = build_histories(known, VOCABULARY, maximum_lines=maximum_lines)
    overlay = RecentEvents(VOCABULARY, since=AS_OF.timestamp(), zone=ZoneInfo(ZONE))
    codes = pd.DataFrame(index=pd.Index([], dtype=str)) if attributes is None else attributes
    builder = RequestBuilder(
        histories, codes, overlay, timezone=ZONE, cart_hours=24, viewed_minutes=60
    )
    return builder, overlay


def built(builder: RequestBuilder, user_id: str, moment: float, **given: Any) -> Requests:
    return builder.requests(builder.situation(user_id, moment, **given))


def assert_equal(found: Requests, expected: Requests) -> None:
    for field in fields(Requests):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        assert left.dtype == right.dtype, field.name
        np.testing.assert_array_equal(left, right, err_msg=field.name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("days", [-60, -10.25, -0.5, 0, 0.5, 7.3, 60])
def test_a_live_request_equals_the_one_that_training_builds(seed: int, days: float) -> None:
    events = some_events(seed, 240)
    attributes = pd.DataFrame({"age": [3, 1]}, index=pd.Index(["ann", "bob"], dtype=str))
    builder, overlay = builder_of(events, attributes)
    later = events[events["timestamp"] >= AS_OF].sample(frac=1, random_state=seed)
    for start in range(0, len(later), 7):  # they arrive in pieces and in any order
        part = later.iloc[start : start + 7]
        overlay.extend(stored(start + i, row) for i, row in enumerate(part.itertuples(index=False)))
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
        found = built(builder, user_id, moment.timestamp(), cart=[MILK], viewed=[BREAD])
        assert_equal(found, expected)


def at(minutes: float) -> datetime:
    return AS_OF + timedelta(days=1, minutes=minutes)


def seen(kind: str, item: str, minutes: float, *, quantity: float = 1.0) -> StoredEvent:
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


def cart_of(events: list[StoredEvent], minutes: float) -> list[int]:
    builder, overlay = builder_of(some_events(0, 60))
    overlay.extend(events)
    return built(builder, "ann", at(minutes).timestamp()).cart_item.tolist()


def test_a_cart_holds_what_was_put_in_and_not_yet_bought_or_taken_out() -> None:
    events = [
        seen("cart", "milk", 0),
        seen("cart", "bread", 1),
        seen("cart", "tea", 2),
        seen("purchase", "milk", 3),
        seen("cart", "bread", 4, quantity=0),
    ]
    assert cart_of(events, 2.5) == [MILK, BREAD, TEA]
    assert cart_of(events, 5) == [TEA]


def test_an_old_cart_is_forgotten() -> None:
    assert cart_of([seen("cart", "milk", 0)], 24 * 60) == [MILK]
    assert cart_of([seen("cart", "milk", 0)], 24 * 60 + 1) == []


def test_views_are_the_last_hours_the_latest_first() -> None:
    builder, overlay = builder_of(some_events(0, 60))
    overlay.extend([seen("view", "milk", 0), seen("view", "tea", 30), seen("view", "bread", 40)])
    overlay.extend([seen("view", "caviar", 41), seen("view", "tea", 50)])
    assert built(builder, "ann", at(45).timestamp()).viewed_item.tolist() == [BREAD, TEA, MILK]
    assert built(builder, "ann", at(90.5).timestamp()).viewed_item.tolist() == [TEA, BREAD]
    given = built(builder, "ann", at(90.5).timestamp(), viewed=[MILK, 0]).viewed_item.tolist()
    assert given == [MILK, TEA, BREAD]


def test_an_event_at_the_very_moment_is_not_yet_known() -> None:
    assert cart_of([seen("cart", "milk", 0)], 0) == []


def test_events_that_the_bundle_knows_are_left_out() -> None:
    _, overlay = builder_of(some_events(0, 60))
    overlay.extend([seen("purchase", "milk", -2 * 24 * 60)])
    assert len(overlay) == 0


def test_now_is_after_an_event_of_a_clock_that_was_ahead() -> None:
    builder, overlay = builder_of(some_events(0, 60))
    overlay.extend([seen("cart", "milk", 3)])
    moment = builder.moment("ann", at(0).timestamp())
    assert built(builder, "ann", moment).cart_item.tolist() == [MILK]
    assert builder.moment("bob", 5.0) == 5.0


def test_a_return_changes_nothing() -> None:
    builder, overlay = builder_of(some_events(0, 60))
    before = built(builder, "ann", at(5).timestamp())
    overlay.extend([seen("return", "milk", 0)])
    assert_equal(built(builder, "ann", at(5).timestamp()), before)


def test_what_was_worked_out_of_forgotten_events_is_lost() -> None:
    builder, overlay = builder_of(some_events(0, 60))
    before = built(builder, "ann", at(5).timestamp())
    overlay.extend([seen("purchase", "milk", 0)])
    assert len(built(builder, "ann", at(5).timestamp()).item) == len(before.item) + 1
    forgotten = SuppressionList([entry_of("ann", "00" * 16)])
    overlay.drop(forgotten)
    builder.drop(forgotten)
    assert_equal(built(builder, "ann", at(5).timestamp()), before)
    assert not builder._lines._merged


MAXIMUM = 30


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("days", [-10.25, 0, 0.5, 7.3, 60])
def test_a_live_request_of_a_heavy_account_equals_the_one_that_training_builds(
    seed: int, days: float
) -> None:
    events = some_events(seed, 900)
    known = events[events["timestamp"] < AS_OF]
    builder, overlay = builder_of(events, maximum_lines=MAXIMUM)
    assert len(known) > 3 * MAXIMUM
    later = events[events["timestamp"] >= AS_OF].sample(frac=1, random_state=seed)
    moment = AS_OF + timedelta(days=days)
    everything = build_histories(
        with_days(events[events["timestamp"] < moment]), VOCABULARY, maximum_lines=MAXIMUM
    )
    for start in range(0, len(later), 50):  # it is asked in between, so lines are grown
        part = later.iloc[start : start + 50]
        overlay.extend(stored(start + i, row) for i, row in enumerate(part.itertuples(index=False)))
        for user_id in ("ann", "bob", "cat"):
            built(builder, user_id, builder.moment(user_id, 0.0))
    for user_id in ("ann", "bob", "cat"):
        expected = build_requests(everything, [user_id], [moment], timezone=ZONE)
        found = built(builder, user_id, moment.timestamp())
        assert len(found.item) == MAXIMUM
        assert_equal(found, expected)


@pytest.mark.parametrize("n_before", [1_000, 20_000])
def test_an_event_and_a_request_touch_what_is_new_whatever_came_before(
    n_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, overlay = builder_of(some_events(0, 60), maximum_lines=MAXIMUM)
    overlay.extend(purchase(number) for number in range(n_before))
    moment = AS_OF.timestamp() + n_before + 0.5
    assert len(built(builder, "ann", moment).item) == MAXIMUM
    first = overlay.before("ann", moment)
    added: list[int] = []
    looked_at: list[int] = []
    add, since = NewPurchases.add, Past.since

    def count_added(self: NewPurchases, purchases: Any) -> None:
        added.append(len(purchases))
        add(self, purchases)

    def count_looked_at(self: Past, after: float) -> Any:
        found = since(self, after)
        looked_at.append(len(found))
        return found

    monkeypatch.setattr(NewPurchases, "add", count_added)
    monkeypatch.setattr(Past, "since", count_looked_at)
    overlay.extend([purchase(n_before)])
    second = overlay.before("ann", moment + 1)
    assert second.timeline.ordered is first.timeline.ordered  # put behind, not made anew
    assert len(built(builder, "ann", moment + 1).item) == MAXIMUM
    assert added == [1]
    assert len(built(builder, "ann", moment + 1).item) == MAXIMUM
    assert added == [1]
    assert max(looked_at) <= RECENT_EVENTS


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


def test_pasts_are_compared_without_a_look_at_their_events() -> None:
    _, overlay = builder_of(some_events(0, 60))
    overlay.extend([purchase(0), purchase(1)])
    moment = AS_OF.timestamp() + 1.5
    before = overlay.before("ann", moment)
    assert before == overlay.before("ann", moment + 1)
    assert before != overlay.before("ann", moment - 1)
    overlay.extend([purchase(1)])  # again: nothing new
    assert before == overlay.before("ann", moment)
    overlay.extend([purchase(2)])
    assert before != overlay.before("ann", moment)
    overlay.extend([seen("view", "milk", 0)])
    assert [event.kind for event in overlay.before("ann", np.inf)][-1] == "view"


def test_a_late_event_takes_its_place_in_time() -> None:
    _, overlay = builder_of(some_events(0, 60))
    overlay.extend([purchase(number) for number in (5, 1, 3)])
    first = overlay.before("ann", np.inf)
    overlay.extend([purchase(2)])
    times = [event.time - AS_OF.timestamp() for event in overlay.before("ann", np.inf)]
    assert times == [1, 2, 3, 5]
    assert [event.time - AS_OF.timestamp() for event in first] == [1, 3, 5]  # as it was
