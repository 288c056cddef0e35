"""Each kind of leak, planted in the code that training and testing use, turns the finding red."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base import histories, items, requests
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.requests import encode_attributes
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.training_data import build_example_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.testing import evaluation_inputs, lookahead
from pipeline.testing.diagnosis.finding import Finding
from pipeline.testing.diagnosis.leak import LeakInputs, check_leak
from pipeline.testing.evaluation_inputs import EvaluationTables
from pipeline.testing.lookahead import check_look_ahead, select_known
from pipeline.training.fit.candidates import build_baseline_recommender
from tests.model.conftest import World, monday
from tests.support import tiny_shop
from tests.support.planted import with_labels

FIRST = {"protocol": "first_basket"}


def in_two_stores(frame: pd.DataFrame) -> pd.DataFrame:
    """The stores change from week to week: who knows the next one knows the future."""
    week = (frame["timestamp"] - pd.Timestamp(tiny_shop.START)).dt.days // 7
    return frame.assign(store_id=("store-" + (week % 2).astype(str)).astype("str"))


@pytest.fixture(scope="module")
def model(world: World) -> GraphRecommender:
    """One that is built without a fit: what is looked at is what it is fed."""
    return build_baseline_recommender("decayed", world.data, world.params.training.baselines)


@pytest.fixture
def tables(world: World) -> EvaluationTables:
    """The tiny shop with two stores, and with first baskets among what was learned from."""
    events = in_two_stores(world.events[world.events["timestamp"] < monday(22)])
    rolling = in_two_stores(world.data.train)
    first = rolling.assign(**FIRST, timestamp=rolling["cutoff"], cart=[[] for _ in rolling.index])
    first = first.drop_duplicates(["user_id", "cutoff"])
    return EvaluationTables(
        shop=world.params.shop,
        events=events,
        items=tiny_shop.items(),
        attributes=encode_attributes(tiny_shop.users()),
        train=pd.concat([rolling, first], ignore_index=True),
        validation=in_two_stores(world.data.validation),
    )


@pytest.fixture
def looked_at(world: World, model: GraphRecommender) -> Callable[..., Finding]:
    """The finding on tables and test examples, as testing comes to it."""

    def look(
        tables: EvaluationTables, test: pd.DataFrame | None = None, judge: GraphRecommender = model
    ) -> Finding:
        asked = in_two_stores(world.test) if test is None else test
        known = build_histories(tables.events, judge.vocabulary)
        clues = LeakInputs({}, {}, check_look_ahead(judge, tables, known, asked))
        return check_leak(clues, world.params.testing.diagnosis)

    return look


def broken(finding: Finding) -> set[str]:
    assert finding.verdict == "suspected"
    return {item.name for item in finding.evidence if not item.holds}


def test_a_shop_without_a_leak_is_healthy(
    tables: EvaluationTables, looked_at: Callable[..., Finding]
) -> None:
    finding = looked_at(tables)
    assert finding.verdict == "healthy"
    notes = " ".join(item.note for item in finding.evidence)
    assert "240 requests whose inputs" in notes  # 80 shoppers: two protocols to learn, one to test
    assert "240 requests with the moment" in notes


def test_a_label_in_what_features_are_made_of_is_found(
    tables: EvaluationTables, looked_at: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Purchases of what will be wanted have a hundred units."""

    def leaky(
        examples: pd.DataFrame, history: Histories, vocabulary: Vocabulary, *more: Any
    ) -> Any:
        example_requests = build_example_requests(examples, history, vocabulary, *more)
        return with_labels(example_requests, examples, vocabulary)

    monkeypatch.setattr(evaluation_inputs, "build_example_requests", leaky)
    assert broken(looked_at(tables)) == {"future_in_request"}


def a_day_later(times: Any) -> Any:
    return TO_SECONDS(times) + DAY


def a_day_earlier(times: Any) -> Any:
    return TO_SECONDS(times) - DAY


TO_SECONDS = requests.to_seconds


@pytest.mark.parametrize(("module", "fault"), [(requests, a_day_later), (histories, a_day_earlier)])
def test_a_future_purchase_in_the_history_is_found(
    module: Any,
    fault: Any,
    tables: EvaluationTables,
    looked_at: Callable[..., Finding],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The filter of requests lets in a day too much; the builder dates purchases a day back."""
    monkeypatch.setattr(module, "to_seconds", fault)
    assert "future_in_request" in broken(looked_at(tables))


def test_a_request_that_is_made_after_its_basket_is_found(
    tables: EvaluationTables, looked_at: Callable[..., Finding], world: World
) -> None:
    late = in_two_stores(world.test)
    late["timestamp"] += pd.Timedelta(minutes=1)
    assert broken(looked_at(tables, late)) == {"future_in_request", "request_context"}


def from_all_time(result: Histories, known: Any, n_items: int) -> Any:
    return REPEATS(result, np.ones_like(known), n_items)


def a_month_later(result: Histories, n_items: int, cutoff: float, **more: Any) -> Any:
    return ITEM_STATE(result, n_items, cutoff + 28 * DAY, **more)


REPEATS, ITEM_STATE = items._repeats, items.compute_item_state


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [(items, "_repeats", from_all_time), (lookahead, "compute_item_state", a_month_later)],
)
def test_item_state_that_knows_what_sells_later_is_found(
    module: Any,
    name: str,
    fault: Any,
    tables: EvaluationTables,
    looked_at: Callable[..., Finding],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The repeats of all time; counts, prices and popularity of a month later."""
    monkeypatch.setattr(module, name, fault)
    assert broken(looked_at(tables)) == {"item_state"}


def test_a_catalogue_of_a_later_day_is_found(
    tables: EvaluationTables, looked_at: Callable[..., Finding], model: GraphRecommender
) -> None:
    more = Vocabulary((*model.vocabulary.ids, "item-99"))
    assert broken(looked_at(tables, judge=replace(model, vocabulary=more))) == {"early_items"}


def test_the_store_of_a_later_basket_is_found(
    tables: EvaluationTables, looked_at: Callable[..., Finding], world: World
) -> None:
    test = in_two_stores(world.test).sort_values(["user_id", "timestamp"])
    later = test.assign(store_id=test.groupby("user_id")["store_id"].shift(-1))
    assert broken(looked_at(tables, later)) == {"request_context"}


def test_a_first_basket_that_knows_where_and_when_is_found(
    tables: EvaluationTables, looked_at: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(examples: pd.DataFrame, *more: Any) -> Any:
        return build_example_requests(examples.assign(protocol="rolling"), *more)

    monkeypatch.setattr(evaluation_inputs, "build_example_requests", leaky)
    assert broken(looked_at(tables)) == {"request_context"}


def test_a_cart_with_what_is_asked_for_is_found(
    tables: EvaluationTables, looked_at: Callable[..., Finding]
) -> None:
    rolling = tables.train["protocol"] == "rolling"
    cart = tables.train["cart"].where(~rolling, tables.train["labels"])
    result = looked_at(replace(tables, train=tables.train.assign(cart=cart)))
    assert "request_context" in broken(result)


def test_a_basket_that_nobody_can_look_up_is_not_compared(
    tables: EvaluationTables, looked_at: Callable[..., Finding]
) -> None:
    others = "other-" + tables.events["basket_id"].astype("str")
    finding = looked_at(replace(tables, events=tables.events.assign(basket_id=others)))
    assert "request_context" not in {item.name for item in finding.evidence}


def test_histories_before_a_day_by_hand(world: World, model: Recommender) -> None:
    whole = build_histories(world.events, model.vocabulary)
    cut = select_known(whole, monday(9).timestamp())
    early = world.events[world.events["timestamp"] < monday(9)]
    expected = build_histories(early, model.vocabulary)
    assert cut.user_ids == expected.user_ids  # everyone buys in every week
    for name in ("row_splits", "item", "time", "basket", "quantity", "price"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(expected, name))


def test_what_comes_later_into_a_basket_that_lasts_is_not_foreseen(
    tables: EvaluationTables, looked_at: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visit that begins an hour before each request, and goes on for an hour after it."""
    first = tables.events.groupby(["user_id", "basket_id"], as_index=False).first()
    visits = [
        first.assign(
            basket_id="visit-" + first["basket_id"],
            item_id=tiny_shop.item_id(number),
            timestamp=first["timestamp"] + pd.Timedelta(hours=hours),
        )
        for number, hours in enumerate((-1, 1))
    ]
    events = pd.concat([tables.events, *visits], ignore_index=True)
    lasting = replace(tables, events=events.sort_values("timestamp", ignore_index=True))
    assert looked_at(lasting).verdict == "healthy"
    monkeypatch.setattr(Histories, "known_from", property(lambda self: self.time))
    assert "future_in_request" in broken(looked_at(lasting))
