"""Requests joined with the purchases that followed, worked out by hand."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from pipeline.contracts.params import LabelingParams, ShopParams, read_params
from pipeline.monitoring.purchases import (
    KnownBaskets,
    find_baskets,
    join_purchases,
    select_labels,
)
from tests.support.tiny_shop import PROJECT

PARAMS = read_params(PROJECT / "params.yaml")
LABELING: LabelingParams = PARAMS.labeling
SHOP: ShopParams = PARAMS.shop
SINCE, UNTIL = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)


def events(*rows: tuple[str, str, str, str, str]) -> pd.DataFrame:
    """Return events from (user, day, basket, items separated by spaces, type)."""
    return pd.DataFrame(
        [
            {
                "user_id": user,
                "item_id": item,
                "timestamp": pd.Timestamp(day, tz="UTC").as_unit("us"),
                "event_type": kind,
                "quantity": 1.0,
                "price": 2.0,
                "basket_id": basket,
                "store_id": None,
            }
            for user, day, basket, items, kind in rows
            for item in items.split()
        ]
    )


def requests(*rows: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "timestamp"])
    return frame.assign(
        timestamp=pd.to_datetime(frame["timestamp"], utc=True, format="ISO8601").astype(
            "datetime64[us, UTC]"
        )
    )


def known(*rows: tuple[str, str, str, str, str]) -> KnownBaskets:
    table = events(*rows)
    table = table[table["timestamp"] < UNTIL]
    return find_baskets(table, SINCE, UNTIL, LABELING, SHOP)


BOUGHT = "purchase"
ANN = [("ann", f"2024-02-{day:02d}", f"old{day}", "milk", BOUGHT) for day in (1, 8, 15, 22)]


def test_a_request_gets_the_first_basket_from_its_moment_on() -> None:
    baskets = known(
        *ANN,
        ("ann", "2024-03-05", "b1", "milk tea", BOUGHT),
        ("ann", "2024-03-09", "b2", "jam", BOUGHT),
    )
    joined = join_purchases(
        requests(("ann", "2024-03-04"), ("ann", "2024-03-05"), ("ann", "2024-03-05T00:00:01")),
        baskets,
        28,
    )
    assert joined["basket_id"].tolist() == ["b1", "b1", "b2"]
    assert joined["label_delay_days"].tolist() == pytest.approx([1.0, 0.0, 4 - 1 / 86_400])
    assert joined["n_earlier_baskets"].tolist() == [4, 4, 5]
    labels = select_labels(joined["basket"].tolist(), [[], ["tea"], []], baskets)
    assert labels == [["milk", "tea"], ["milk"], ["jam"]]


def test_a_basket_beyond_the_horizon_or_of_another_user_does_not_follow() -> None:
    baskets = known(*ANN, ("bob", "2024-03-05", "b1", "tea", BOUGHT))
    asked = requests(("ann", "2024-03-04"), ("bob", "2024-02-06"), ("bob", "2024-02-05"),
                     ("new", "2024-03-04"))  # fmt: skip
    joined = join_purchases(asked, baskets, 28)
    assert joined["basket_id"].fillna("none").tolist() == ["none", "b1", "none", "none"]
    assert joined["label_delay_days"].tolist()[1] == 28.0
    assert joined["label_delay_days"].isna().tolist() == [True, False, True, True]
    assert select_labels(joined["basket"].tolist(), [[]] * 4, baskets)[0] == []


def test_a_return_cancels_a_label_and_views_are_none() -> None:
    baskets = known(
        *ANN,
        ("ann", "2024-03-04", "b0", "jam", "view"),
        ("ann", "2024-03-05", "b1", "milk tea", BOUGHT),
        ("ann", "2024-03-07", "r1", "tea", "return"),
        ("ann", "2024-03-20", "b2", "jam", BOUGHT),
        ("ann", "2024-04-02", "r2", "jam", "return"),  # not known yet
    )
    joined = join_purchases(requests(("ann", "2024-03-04"), ("ann", "2024-03-20")), baskets, 28)
    assert select_labels(joined["basket"].tolist(), [[], []], baskets) == [["milk"], ["jam"]]


def test_a_basket_without_a_label_left_is_passed_over() -> None:
    baskets = known(
        *ANN,
        ("ann", "2024-03-05", "b1", "tea", BOUGHT),
        ("ann", "2024-03-06", "r1", "tea", "return"),
        ("ann", "2024-03-09", "b2", "jam", BOUGHT),
    )
    joined = join_purchases(requests(("ann", "2024-03-04")), baskets, 28)
    assert joined["basket_id"].tolist() == ["b2"]


def test_simultaneous_requests_get_simultaneous_baskets() -> None:
    baskets = known(
        *ANN,
        ("ann", "2024-03-05", "b1", "milk", BOUGHT),
        ("ann", "2024-03-05", "b2", "tea", BOUGHT),
    )
    twice = join_purchases(requests(("ann", "2024-03-05"), ("ann", "2024-03-05")), baskets, 28)
    assert twice["basket_id"].tolist() == ["b1", "b2"]
    thrice = join_purchases(requests(*[("ann", "2024-03-05")] * 3), baskets, 28)
    assert thrice["basket_id"].tolist() == ["b1", "b2", "b1"]


def test_baskets_of_the_period_count_as_labeling_counts_them() -> None:
    rows = [("ann", "2024-03-05", "b1", "milk", BOUGHT), ("bob", "2024-03-06", "b2", "tea", BOUGHT)]
    assert known(*ANN, *rows).n_expected == 1  # bob has fewer than three earlier baskets


def test_without_any_basket_no_request_is_followed() -> None:
    baskets = known(("ann", "2024-03-05", "b1", "milk", "view"))
    joined = join_purchases(requests(("ann", "2024-03-04")), baskets, 28)
    assert joined["basket_id"].isna().tolist() == [True]
    assert joined["n_earlier_baskets"].tolist() == [0]
    assert baskets.n_expected == 0
