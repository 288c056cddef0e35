"""The shoppers and products of the storefront, computed by hand from the fake bundle."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline.event_store.store import EventStore
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import Event
from pipeline.serving.storefront.shoppers import Shoppers, median_prices, suggest_users
from tests.support.fake_bundle import AS_OF, ITEMS, FakeBundle, purchases, serving_params

LONG_AFTER = datetime(2026, 1, 1, tzinfo=UTC)
EVENING = AS_OF + timedelta(hours=18)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[RecommendationEngine]:
    engine = RecommendationEngine(
        FakeBundle(), EventStore(f"sqlite:///{tmp_path / 'e.db'}"), serving_params()
    )
    yield engine
    engine.close()


def test_a_shopper_has_a_summary(engine: RecommendationEngine) -> None:
    (ann,) = Shoppers(engine.runtime).find("ann", LONG_AFTER)
    assert (ann.user_id, ann.n_baskets, ann.n_products) == ("ann", 3, 3)
    assert ann.last_basket == datetime(2024, 2, 21, 9, tzinfo=UTC)
    assert ann.often == ["DAIRY", "BAKERY"]


def test_the_history_has_baskets_from_late_to_early_with_titles(
    engine: RecommendationEngine,
) -> None:
    history = Shoppers(engine.runtime).history("ann", LONG_AFTER)
    titles = [sorted(line.product.title for line in basket.lines) for basket in history.baskets]
    assert titles == [["Jam", "Milk"], ["Bread", "Milk"], ["Bread", "Milk"]]
    assert [basket.paid_at.day for basket in history.baskets] == [21, 11, 1]
    assert (history.cart, history.viewed) == ([], [])


def test_a_new_shopper_has_an_empty_history(engine: RecommendationEngine) -> None:
    history = Shoppers(engine.runtime).history("stranger", LONG_AFTER)
    assert (history.shopper.n_baskets, history.shopper.last_basket, history.baskets) == (
        0,
        None,
        [],
    )


def test_events_are_in_the_history_at_once(engine: RecommendationEngine) -> None:
    shoppers = Shoppers(engine.runtime)
    moments = [EVENING + timedelta(minutes=minutes) for minutes in range(3)]
    kinds = ("cart", "view", "purchase")
    for kind, item, moment in zip(kinds, ("tea", "coffee", "jam"), moments, strict=True):
        event = Event(user_id="new", item_id=item, event_type=kind, timestamp=moment)  # type: ignore[arg-type]
        engine.append([event])
    history = shoppers.history("new", LONG_AFTER)
    assert [product.title for product in history.cart] == ["Black tea"]
    assert history.viewed == ["coffee"]
    assert [line.product.item_id for line in history.baskets[0].lines] == ["jam"]
    assert moments[-1] < history.now < moments[-1] + timedelta(seconds=1)
    assert [shopper.user_id for shopper in shoppers.find("new", LONG_AFTER)] == ["new"]


def test_the_clock_is_real_when_the_model_is_fresh(engine: RecommendationEngine) -> None:
    soon = AS_OF + timedelta(days=2)
    assert Shoppers(engine.runtime).history("ann", soon).now == soon
    assert Shoppers(engine.runtime).history("ann", LONG_AFTER).now == EVENING


def test_shoppers_are_found_by_how_their_number_begins(engine: RecommendationEngine) -> None:
    shoppers = Shoppers(engine.runtime)
    assert [shopper.user_id for shopper in shoppers.find("", LONG_AFTER)] == ["ann", "bob"]
    assert [shopper.user_id for shopper in shoppers.find("b", LONG_AFTER)] == ["bob"]
    assert shoppers.find("zoe", LONG_AFTER) == []


def test_the_suggested_shoppers_go_from_many_purchases_to_few() -> None:
    lines = [
        (f"s{user:02d}", item, f"2024-02-{day:02d}T09:00:00Z", f"{user}-{day}")
        for user in range(25)
        for day, item in zip(range(1, 2 + user), [*ITEMS] * 5, strict=False)
    ]
    suggestions = suggest_users(build_histories(purchases(lines), Vocabulary(ITEMS)))
    assert (len(suggestions), suggestions[0], suggestions[-1]) == (12, "s24", "s00")
    assert suggestions == sorted(suggestions, reverse=True)


def test_the_price_is_the_lower_median() -> None:
    item = np.array([1, 1, 1, 2, 2, 4], dtype=np.int32)
    price = np.array([9.0, 1.0, 3.0, 4.0, 2.0, 5.0], dtype=np.float32)
    assert median_prices(item, price, 5).tolist() == [0.0, 3.0, 2.0, 0.0, 5.0]


def test_products_that_nobody_sold_are_left_out_and_have_no_price(
    engine: RecommendationEngine,
) -> None:
    bread, coffee = Shoppers(engine.runtime).products(["bread", "caviar", "", "coffee"])
    assert (bread.title, bread.department, bread.category) == ("Bread", "GROCERY", "BAKERY")
    assert (bread.price, coffee.price) == (2.0, None)
