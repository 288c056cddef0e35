"""Requests in the flat layout, against lines that were laid out by hand."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.requests import (
    Requests,
    build_requests,
    encode_attributes,
    join,
    withhold_context,
)
from pipeline.recommenders.base.training_data import build_example_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.base.wall_clock import to_seconds

VOCABULARY = Vocabulary(("bread", "milk", "tea"))
BREAD, MILK, TEA = 1, 2, 3
ROWS = [
    ("ann", "milk", "2024-01-01T09:00Z", "purchase", 1.0, 2.0, "a1"),
    ("ann", "milk", "2024-01-01T09:00Z", "purchase", 3.0, 1.0, "a1"),
    ("ann", "bread", "2024-01-01T09:00Z", "purchase", 1.0, 3.0, "a1"),
    ("ann", "caviar", "2024-01-03T09:00Z", "purchase", 1.0, 90.0, "a2"),
    ("ann", "tea", "2024-01-05T09:30Z", "purchase", 1.0, 4.0, "a3"),
    ("ann", "milk", "2024-01-05T09:00Z", "purchase", 1.0, 2.0, "a3"),
    ("bob", "tea", "2024-01-04T10:00Z", "purchase", 1.0, 4.0, "b2"),
    ("bob", "tea", "2024-01-02T10:00Z", "purchase", 2.0, 4.0, "b1"),
    ("bob", "bread", "2024-01-02T10:00Z", "purchase", 1.0, 3.0, "b1"),
    ("cid", "tea", "2024-01-02T10:00Z", "view", 0.0, 0.0, "c1"),
]


def events(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    names = ["user_id", "item_id", "timestamp", "event_type", "quantity", "price", "basket_id"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(timestamp=pd.to_datetime(frame["timestamp"], utc=True))


@pytest.fixture
def histories() -> Histories:
    return build_histories(events(ROWS), VOCABULARY)


def seconds(text: str) -> float:
    return pd.Timestamp(text).timestamp()


def ask(histories: Histories, *asked: tuple[str, str], **more: object) -> Requests:
    users = [user for user, _ in asked]
    times = np.array([seconds(time) for _, time in asked])
    return build_requests(histories, users, times, **more)  # type: ignore[arg-type]


def test_lines_are_ordered_by_user_item_and_from_late_to_early(histories: Histories) -> None:
    assert histories.user_ids == ("ann", "bob")
    assert histories.row_splits.tolist() == [0, 4, 7]
    assert histories.item.tolist() == [BREAD, MILK, MILK, TEA, BREAD, TEA, TEA]
    assert histories.basket.tolist() == [0, 2, 0, 2, 0, 1, 0]


def test_lines_of_one_item_in_one_basket_become_one(histories: Histories) -> None:
    assert histories.quantity.tolist() == [1, 1, 4, 1, 1, 1, 2]
    assert histories.price.tolist() == [3.0, 2.0, 1.25, 4.0, 3.0, 4.0, 4.0]


def test_a_line_has_the_time_when_its_basket_began(histories: Histories) -> None:
    tea_of_ann = histories.time[3]
    assert tea_of_ann == seconds("2024-01-05T09:00Z")


def test_basket_ids_are_each_users_own() -> None:
    """A shop may number the baskets of every user, or of every day, from 1."""
    rows = [
        ("ann", "milk", "2024-01-01T09:00Z", "purchase", 1.0, 2.0, "1"),
        ("ann", "milk", "2024-01-05T09:00Z", "purchase", 1.0, 2.0, "2"),
        ("bob", "milk", "2024-01-04T09:00Z", "purchase", 1.0, 2.0, "1"),
        ("bob", "milk", "2024-01-02T09:00Z", "purchase", 1.0, 2.0, "2"),
    ]
    result = build_histories(events(rows), VOCABULARY)
    assert [f"{at:%d}" for at in pd.to_datetime(result.time, unit="s")] == ["05", "01", "04", "02"]
    assert result.basket.tolist() == [1, 0, 1, 0]


def test_the_order_of_the_events_does_not_matter(histories: Histories) -> None:
    turned = build_histories(events(ROWS[::-1]), VOCABULARY)
    for field in fields(Histories):
        assert np.array_equal(getattr(turned, field.name), getattr(histories, field.name))


def test_events_are_left_as_they_were() -> None:
    frame = events(ROWS)
    build_histories(frame, VOCABULARY)
    pd.testing.assert_frame_equal(frame, events(ROWS))


def test_nothing_bought_gives_empty_histories() -> None:
    empty = build_histories(events(ROWS).iloc[:0], VOCABULARY)
    assert (empty.user_ids, empty.row_splits.tolist(), len(empty.item)) == ((), [0], 0)
    assert len(ask(empty, ("ann", "2024-01-06T00:00Z"))) == 1


def test_a_purchase_at_the_very_moment_of_the_request_is_not_in_it(histories: Histories) -> None:
    at, after = "2024-01-05T09:00:00Z", "2024-01-05T09:00:01Z"
    result = ask(histories, ("ann", at), ("ann", after))
    assert result.row_splits.tolist() == [0, 2, 5]
    assert result.item.tolist() == [BREAD, MILK, BREAD, MILK, MILK]


def test_what_came_later_into_a_basket_is_not_in_a_request_before_it(histories: Histories) -> None:
    """The basket of 5 January begins at nine, and the tea comes into it at half past."""
    during, after = "2024-01-05T09:29Z", "2024-01-05T09:31Z"
    result = ask(histories, ("ann", during), ("ann", after))
    assert result.item.tolist() == [BREAD, MILK, MILK, BREAD, MILK, MILK, TEA]
    assert result.age_days[-1] == pytest.approx(31 / (24 * 60))  # since the basket began


def test_ages_are_days_before_the_request(histories: Histories) -> None:
    result = ask(histories, ("ann", "2024-01-06T09:00Z"))
    assert result.age_days.tolist() == [5.0, 1.0, 5.0, 1.0]
    assert result.quantity.tolist() == [1, 1, 4, 1]
    assert result.price.tolist() == [3.0, 2.0, 1.25, 4.0]


def test_baskets_of_unknown_items_count_between_others(histories: Histories) -> None:
    result = ask(histories, ("ann", "2024-01-06T09:00Z"), ("bob", "2024-01-03T00:00Z"))
    assert result.baskets_ago.tolist() == [2, 0, 2, 0, 0, 0]


def test_an_unknown_user_and_one_without_purchases_yet_have_no_lines(histories: Histories) -> None:
    result = ask(
        histories,
        ("nobody", "2024-01-06T00:00Z"),
        ("bob", "2024-01-01T00:00Z"),
        ("bob", "2024-01-06T00:00Z"),
        ("cid", "2024-01-06T00:00Z"),
    )
    assert result.row_splits.tolist() == [0, 0, 0, 3, 3]


def test_carts_and_looks_are_ragged_and_without_unknown_items(histories: Histories) -> None:
    carts = [np.array([TEA, 0, BREAD]), np.array([], dtype=np.int32)]
    viewed = [np.array([], dtype=np.int32), np.array([MILK])]
    asked = (("ann", "2024-01-06T00:00Z"), ("bob", "2024-01-06T00:00Z"))
    result = ask(histories, *asked, carts=carts, viewed=viewed)
    assert (result.cart_splits.tolist(), result.cart_item.tolist()) == ([0, 2, 2], [TEA, BREAD])
    assert (result.viewed_splits.tolist(), result.viewed_item.tolist()) == ([0, 0, 1], [MILK])
    plain = ask(histories, *asked)
    assert (plain.cart_splits.tolist(), len(plain.cart_item)) == ([0, 0, 0], 0)


@pytest.mark.parametrize(
    ("utc", "weekday", "hour"),
    [
        ("2024-03-10T06:30Z", 6, 1),  # Sunday, an hour before the clocks go forward
        ("2024-03-10T07:30Z", 6, 3),
        ("2024-03-11T03:30Z", 6, 23),
        ("2024-03-11T04:30Z", 0, 0),
        ("2024-11-03T05:30Z", 6, 1),  # the hour that comes twice
        ("2024-11-03T06:30Z", 6, 1),
        ("2024-11-03T07:30Z", 6, 2),
    ],
)
def test_weekday_and_hour_are_the_shops_own(
    histories: Histories, utc: str, weekday: int, hour: int
) -> None:
    result = ask(histories, ("ann", utc), timezone="America/New_York")
    assert (result.local_weekday.tolist(), result.local_hour.tolist()) == ([weekday], [hour])


def test_a_part_equals_the_requests_built_alone(histories: Histories) -> None:
    asked = [(name, "2024-01-06T00:00Z") for name in ("ann", "nobody", "bob", "ann")]
    carts = [np.array([TEA]), np.array([BREAD, MILK]), np.array([], dtype=np.int32), np.array([2])]
    attributes = pd.DataFrame({"age": [3, 1]}, index=pd.Index(["ann", "bob"], dtype="str"))
    whole = ask(histories, *asked, carts=carts, viewed=carts[::-1], attributes=attributes)
    for start, stop in ((0, 1), (1, 3), (2, 4), (0, 4), (2, 2)):
        alone = ask(
            histories,
            *asked[start:stop],
            carts=carts[start:stop],
            viewed=carts[::-1][start:stop],
            attributes=attributes,
        )
        part = whole.part(start, stop)
        for field in fields(Requests):
            got, wanted = getattr(part, field.name), getattr(alone, field.name)
            np.testing.assert_array_equal(got, wanted, err_msg=field.name)
            assert got.dtype == wanted.dtype, field.name


def test_joined_parts_equal_the_whole(histories: Histories) -> None:
    moment = pd.Timestamp("2024-03-01", tz="UTC").timestamp()
    names = [*histories.user_ids, "nobody", *histories.user_ids]
    whole = build_requests(
        histories,
        names,
        np.full(len(names), moment),
        carts=[np.arange(at % 3, dtype=np.int32) for at in range(len(names))],
    )
    splits = [0, 1, 3, len(names)]
    joined = join([whole.part(start, stop) for start, stop in pairwise(splits)])
    for field in fields(Requests):
        left, right = getattr(joined, field.name), getattr(whole, field.name)
        assert left.dtype == right.dtype, field.name
        np.testing.assert_array_equal(left, right, err_msg=field.name)
    assert join([whole]) is whole


def test_a_user_without_attributes_gets_the_unknown_code(histories: Histories) -> None:
    users = pd.DataFrame(
        {"user_id": ["bob", "ann"], "age": ["45-54", "19-24"], "home": [None, "owner"]}
    )
    asked = (("ann", "2024-01-06T00:00Z"), ("zoe", "2024-01-06T00:00Z"), ("bob", "2024-01-06T00Z"))
    result = ask(histories, *asked, attributes=encode_attributes(users))
    assert result.user_attributes.tolist() == [[1, 1], [0, 0], [2, 0]]
    assert ask(histories, *asked).user_attributes.shape == (3, 0)


def test_datetimes_become_seconds_whatever_their_zone() -> None:
    utc = pd.Series(pd.to_datetime(["1970-01-02T00:00:00.5Z"]))
    assert to_seconds(utc).tolist() == [86_400.5]
    assert to_seconds(utc.dt.tz_convert("America/New_York")).tolist() == [86_400.5]


def test_no_events_after_the_request_change_it(histories: Histories) -> None:
    later = [
        ("ann", "bread", "2024-01-05T09:00Z", "purchase", 9.0, 9.0, "a3"),
        ("ann", "tea", "2024-01-09T09:00Z", "purchase", 1.0, 4.0, "a4"),
        ("abe", "tea", "2024-01-09T09:00Z", "purchase", 1.0, 4.0, "x1"),
    ]
    more = build_histories(events([*later, *ROWS]), VOCABULARY)
    asked = ("ann", "2024-01-05T09:00Z")
    one, other = ask(histories, asked), ask(more, asked)
    for field in fields(Requests):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_withheld_context_is_that_of_a_request_for_a_first_basket() -> None:
    """The hour, the weekday and the store are not known; the history and the moment stay."""
    histories = build_histories(events(ROWS).assign(store_id="s1"), VOCABULARY)
    rolling = pd.DataFrame(
        {
            "user_id": ["ann"],
            "timestamp": pd.to_datetime(["2024-01-20 18:00"], utc=True),
            "protocol": ["rolling"],
            "store_id": ["s1"],
            "cart": [[]],
        }
    )
    attributes = encode_attributes(pd.DataFrame({"user_id": ["ann"]}))
    known, first = (
        build_example_requests(rows, histories, VOCABULARY, attributes, "UTC")
        for rows in (rolling, rolling.assign(protocol="first_basket"))
    )
    assert (known.time_known.tolist(), known.at_store.tolist()) == ([1], [1])
    withheld = withhold_context(known)
    for field in fields(Requests):
        np.testing.assert_array_equal(getattr(withheld, field.name), getattr(first, field.name))
    assert (known.time_known.tolist(), known.at_store.tolist()) == ([1], [1])
