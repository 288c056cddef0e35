"""What is bought on trips like this one, worked out by hand for one shopper."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.batch import Batch, read_batch, to_tensors
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.items import OfferWeeks
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.ranker.blocks import FeatureBlock, assemble
from pipeline.recommenders.ranker.promotions import Offers, offer_features, price_features
from pipeline.recommenders.ranker.trips import TRIP_NAMES, trip_features

pytestmark = pytest.mark.slow

VOCABULARY = Vocabulary(("bread", "milk", "tea"))
BREAD, MILK, TEA = 1, 2, 3
# Mondays at 9 in the corner shop: bread. Saturday at 18 in the market: milk and tea.
BASKETS = [
    ("2024-01-01T09:00", "corner", ["bread"]),
    ("2024-01-06T18:00", "market", ["milk", "tea"]),
    ("2024-01-08T09:00", "corner", ["bread"]),
]
MONDAY, SATURDAY = "2024-01-15T09:00", "2024-01-20T18:00"


def batch_of(
    moment: str, *, store: str | None = None, time_known: bool = True, price: float = 2.0
) -> Batch:
    rows = [
        ("ann", item, pd.Timestamp(when, tz="UTC"), "purchase", 1.0, price, when, where)
        for when, where, items in BASKETS
        for item in items
    ]
    names = ["user_id", "item_id", "timestamp", "event_type", "quantity", "price", "basket_id"]
    events = pd.DataFrame(rows, columns=[*names, "store_id"])
    requests = build_requests(
        build_histories(events, VOCABULARY),
        ["ann"],
        [pd.Timestamp(moment, tz="UTC")],
        stores=[store],
        time_known=np.array([int(time_known)], dtype=np.int32),
    )
    return read_batch(to_tensors(requests))


def features(batch: Batch) -> dict[str, list[float]]:
    return by_name(trip_features(batch))


def by_name(blocks: Sequence[FeatureBlock]) -> dict[str, list[float]]:
    names = [name for block in blocks for name in block.names]
    values = assemble(blocks, names).numpy().tolist()
    return dict(zip(names, values, strict=True))


def decay(days: Sequence[float], tau: float) -> np.ndarray:
    return np.exp(-np.array(days) / tau)


def test_every_name_has_a_number_per_item() -> None:
    result = features(batch_of(MONDAY, store="corner"))
    assert set(result) >= set(TRIP_NAMES)
    assert all(len(values) == 3 for values in result.values())
    assert all(np.isfinite(values).all() for values in result.values())


def test_the_share_of_like_hours_is_the_vote_of_earlier_baskets() -> None:
    result = features(batch_of(MONDAY))
    ages = [14.0, 8 + 15 / 24, 7.0]
    apart = np.array([0.0, 9.0, 0.0])  # 18:00 is nine hours from 9:00
    weight = decay(ages, 120) * np.exp(-((apart / 2) ** 2) / 2)
    bread = (weight[0] + weight[2]) / weight.sum()
    assert result["like_hour"] == pytest.approx(
        [np.sqrt(bread), np.sqrt(1 - bread), np.sqrt(1 - bread)], rel=1e-4
    )
    assert result["hour_match"][0] == pytest.approx(1.0)
    assert result["weekday_match"] == pytest.approx([1.0, 0.0, 0.0])


def test_what_is_bought_here_is_told_from_what_is_bought_elsewhere() -> None:
    corner, market = (features(batch_of(MONDAY, store=name)) for name in ("corner", "market"))
    assert corner["store_match"] == [1.0, 0.0, 0.0]
    assert market["store_match"] == [0.0, 1.0, 1.0]
    assert corner["like_store"][0] > market["like_store"][0]
    recent = decay([14.0, 8 + 15 / 24, 7.0], 90)
    here = (recent[0] + recent[2]) / recent.sum()
    assert corner["user_store_share"] == pytest.approx([here] * 3, rel=1e-4)
    assert corner["store_lift"][0] == pytest.approx(1.0 - here, rel=1e-4)


def test_the_size_of_the_basket_is_foreseen_from_baskets_like_it() -> None:
    small, large = (
        features(batch_of(when, store=store))
        for when, store in ((MONDAY, "corner"), (SATURDAY, "market"))
    )
    assert small["expected_size"][0] == pytest.approx(np.log(2), abs=0.02)
    assert large["expected_size"][0] == pytest.approx(np.log(3), abs=0.02)
    usual = (2 * np.log(2) + np.log(3)) / 3
    assert small["basket_size_lift"] == pytest.approx(
        [np.log(2) - usual, np.log(3) - usual, np.log(3) - usual], rel=1e-4
    )


def test_without_a_time_or_a_store_what_needs_them_is_zero() -> None:
    unknown = features(batch_of(MONDAY, time_known=False))
    assert unknown["time_known"] == unknown["store_known"] == [0.0] * 3
    assert not any(np.any(values) for values in unknown.values())


def test_a_shopper_without_history_has_no_rows() -> None:
    requests = build_requests(
        build_histories(
            pd.DataFrame(
                {
                    "user_id": ["bob"],
                    "item_id": ["tea"],
                    "timestamp": [pd.Timestamp("2024-01-01", tz="UTC")],
                    "event_type": ["purchase"],
                    "quantity": [1.0],
                    "price": [1.0],
                    "basket_id": ["b"],
                }
            ),
            VOCABULARY,
        ),
        ["nobody"],
        [pd.Timestamp(MONDAY, tz="UTC")],
    )
    result = trip_features(read_batch(to_tensors(requests)))
    assert assemble(result, TRIP_NAMES).shape == (len(TRIP_NAMES), 0)


def test_offers_are_those_of_the_week_and_of_the_purchases() -> None:
    offers = np.zeros((6, 4, 4), dtype=np.uint8)  # weeks of 1, 8, 15, 22 January and two empty
    first = (pd.Timestamp("2024-01-01") - pd.Timestamp("1970-01-05")).days // 7
    offers[1, BREAD, 0] = 255  # bread is in the first week's mailer
    offers[3, TEA, 1] = 51  # tea is on display in a fifth of the stores in the third week
    result = by_name(offer_features(batch_of(MONDAY), Offers(OfferWeeks(first, offers))))
    assert result["mailer_when_bought"] == pytest.approx([0.5, 0.0, 0.0])
    assert result["mailer_when_last_bought"] == [0.0, 0.0, 0.0]
    assert result["mailer_now"] == [0.0, 0.0, 0.0]
    assert result["mailer_lift"] == pytest.approx([-0.5, 0.0, 0.0])
    assert result["display_now"] == pytest.approx([0.0, 0.0, 0.2])
    assert result["display_lift"] == pytest.approx([0.0, 0.0, 0.2])


def test_a_price_below_the_usual_one_is_cheap() -> None:
    usual = np.array([1.0, 4.0, 2.0, 1.0], dtype=np.float32)
    result = by_name(price_features(batch_of(MONDAY, price=2.0), usual))
    assert result["cheap_when_bought"] == [1.0, 0.0, 0.0]
    assert result["price_level"] == pytest.approx([np.log(0.5), 0.0, np.log(2.0)], abs=1e-6)
    assert result["usual_price"] == pytest.approx(np.log1p([4.0, 2.0, 1.0]))
