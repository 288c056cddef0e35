"""Features of the graph against a plain reimplementation in numpy, from the events themselves."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.batch import Batch, read_batch, to_tensors
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.ranker.features import GROUPS, N_FEATURES, NAMES, last_ages
from tests.model.conftest import World, monday
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

DAY = 86_400.0
ASKED = (0, 57, 133, 200, 319)
CART_COLUMNS = {"type_in_cart": 12, "category_in_cart": 6}


def number(item_id: str) -> int:
    return int(item_id.removeprefix("item-"))


def usual_gaps(events: pd.DataFrame) -> dict[str, float]:
    """Median over an item's repeat buyers of their mean days between purchases; 40 for none."""
    known = events[events["timestamp"] < monday(18)]
    gaps: dict[str, list[float]] = {}
    for (item, _), times in known.groupby(["item_id", "user_id"])["timestamp"]:
        if len(times) > 1:
            span = (times.max() - times.min()).total_seconds() / DAY
            gaps.setdefault(item, []).append(span / (len(times) - 1))
    return {item: float(np.median(result)) for item, result in gaps.items()}


def by_hand(
    events: pd.DataFrame, user: str, moment: pd.Timestamp, cart: list[str]
) -> dict[str, dict[str, float]]:
    """Feature values per item that `user` bought before `moment`."""
    lines = events[(events["user_id"] == user) & (events["timestamp"] < moment)]
    baskets = sorted(lines["basket_id"].unique(), reverse=True)  # weeks are in the name
    usual = usual_gaps(events)
    week = (moment - pd.Timestamp(tiny_shop.START)).days // 7
    results: dict[str, dict[str, float]] = {}
    strength = {}
    for item, bought in lines.groupby("item_id"):
        ages = np.sort((moment - bought["timestamp"]).dt.total_seconds().to_numpy() / DAY)
        count, gap = len(ages), usual.get(str(item), 40.0)
        mean_gap = (ages[-1] - ages[0]) / (count - 1) if count > 1 else gap
        expected = (mean_gap * (count - 1) + gap) / count
        recent = bought["basket_id"].isin(baskets[:5]).sum()
        strength[item] = np.exp(-ages / 120).sum()
        results[str(item)] = {
            "n_purchases": np.log1p(count),
            "decayed_30": np.log1p(np.exp(-ages / 30).sum()),
            "days_since_last": np.log1p(ages[0]),
            "days_since_first": np.log1p(ages[-1]),
            "mean_gap": np.log1p(mean_gap),
            "due": min(ages[0] / max(expected, 0.5), 8.0),
            "share_of_baskets": count / len(baskets),
            "share_of_last_5": recent / min(5, len(baskets)),
            "baskets_since_last": np.log1p(
                min(baskets.index(basket) for basket in bought["basket_id"])
            ),
            "mailer_now": float(number(str(item)) in tiny_shop.mailer(week)),
            "mailer_next": float(number(str(item)) in tiny_shop.mailer(week + 1)),
            "mailer_before": float(number(str(item)) in tiny_shop.mailer(week - 1)),
            "display_now": 0.0,
            "cart_size": np.log1p(len(cart)),
            "mean_quantity": np.log1p(1.0),
            "hour": float(moment.hour),
            "user_baskets": np.log1p(len(baskets)),
        }
        for name, n_codes in CART_COLUMNS.items():
            same = sum(number(other) % n_codes == number(str(item)) % n_codes for other in cart)
            results[str(item)][name] = np.log1p(same)
    for rank, item in enumerate(sorted(strength, key=lambda name: (-strength[name], name))):
        results[str(item)]["rank_in_history"] = np.log1p(rank)
    return results


@pytest.fixture(scope="module")
def batch(world: World) -> Batch:
    return read_batch(to_tensors(world.cart_requests))


@pytest.fixture(scope="module")
def features(ranker: GraphRecommender, batch: Batch) -> np.ndarray[Any, Any]:
    return np.asarray(ranker.module.features(batch).numpy())


@pytest.mark.parametrize("request_number", ASKED)
def test_features_equal_those_worked_out_from_the_events(
    world: World, batch: Batch, features: np.ndarray[Any, Any], request_number: int
) -> None:
    example = world.test.iloc[request_number]
    cart = world.data.vocabulary.decode(world.carts[request_number])
    expected = by_hand(world.events, example["user_id"], example["timestamp"], cart)
    pairs = np.flatnonzero(batch.repeat_row.numpy() == request_number)
    items = world.data.vocabulary.decode(batch.repeat_item.numpy()[pairs])
    assert items == sorted(expected)
    for item, row in zip(items, features[pairs], strict=True):
        for name, value in expected[item].items():
            got = row[NAMES.index(name)]
            assert got == pytest.approx(value, rel=2e-4, abs=2e-5), (item, name)


def test_every_feature_has_one_name_and_one_group(features: np.ndarray[Any, Any]) -> None:
    assert features.shape[1] == N_FEATURES == len(set(NAMES)) == sum(map(len, GROUPS.values()))


def test_every_feature_is_finite(features: np.ndarray[Any, Any]) -> None:
    assert np.isfinite(features).all()


def test_the_last_ages_are_the_latest_purchases_first(batch: Batch, world: World) -> None:
    result = last_ages(batch, 4).numpy()
    requests = world.cart_requests
    for pair in range(0, len(result), 101):
        start, count = int(batch.repeat_start[pair]), int(batch.repeat_count[pair])
        expected = np.log1p(np.sort(requests.age_days[start : start + count])[:4])
        np.testing.assert_allclose(result[pair, : len(expected)], expected, rtol=1e-6)
        assert not result[pair, len(expected) :].any()


def test_a_request_far_from_every_offer_sees_none(world: World, ranker: GraphRecommender) -> None:
    late = world.test.iloc[:3].assign(timestamp=monday(400))
    result = ranker.module.features(
        read_batch(to_tensors(world.later.build_requests(late)))
    ).numpy()
    for name in ("mailer_now", "mailer_next", "mailer_before", "coupon_now"):
        assert not result[:, NAMES.index(name)].any()
