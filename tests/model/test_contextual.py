"""Frequency on trips like this one, against weights worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.batch import read_batch, to_tensors
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests, withhold_context
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.baselines.frequency import ContextualGraph
from tests.model.conftest import World

VOCABULARY = Vocabulary(("beer", "bread", "milk"))
DAYS, WIDTH, HOUR, DAY, STORE = 50.0, 2.0, 0.25, 0.5, 0.125
# A Saturday evening in store b, a Tuesday evening in a, a Tuesday night in b
TRIPS = (
    ("beer", "2024-01-06 20:00", "b"),
    ("bread", "2024-01-02 18:00", "a"),
    ("milk", "2023-12-26 02:00", "b"),
)
NOW = "2024-01-09 18:00"  # a Tuesday


@pytest.fixture
def graph(world: World) -> ContextualGraph:
    params = world.params.training.baselines.model_copy(
        update={
            "contextual_decay_days": DAYS,
            "contextual_hour_width": WIDTH,
            "contextual_other_hour": HOUR,
            "contextual_other_day": DAY,
            "contextual_other_store": STORE,
        }
    )
    return ContextualGraph(np.ones(4), 3, params)


def request(store: str | None = "a") -> Requests:
    items, moments, stores = zip(*TRIPS, strict=True)
    events = pd.DataFrame(
        {
            "user_id": "u",
            "item_id": items,
            "timestamp": pd.to_datetime(list(moments), utc=True),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 1.0,
            "basket_id": list(moments),
            "store_id": stores,
        }
    )
    histories = build_histories(events, VOCABULARY)
    moment = pd.to_datetime([NOW], utc=True)
    return build_requests(histories, ["u"], moment, stores=[store])


def decayed() -> list[float]:
    ages = [(pd.Timestamp(NOW) - pd.Timestamp(at)) / pd.Timedelta(days=1) for _, at, _ in TRIPS]
    return [math.exp(-age / DAYS) for age in ages]


def weights(graph: ContextualGraph, asked: Requests) -> list[float]:
    result = graph.weigh(read_batch(to_tensors(asked)))
    return [float(entry) for entry in result]


def test_a_trip_weighs_by_its_hour_its_side_of_the_week_and_its_store(graph):
    two_hours = HOUR + (1 - HOUR) * math.exp(-0.5)
    eight_hours = HOUR + (1 - HOUR) * math.exp(-8.0)
    by_hand = [two_hours * DAY * STORE, 1.0, eight_hours * STORE]
    expected = np.multiply(decayed(), by_hand)
    assert weights(graph, request()) == pytest.approx(expected.tolist(), rel=1e-6)


def test_without_a_store_only_the_time_counts(graph):
    expected = np.divide(weights(graph, request()), [STORE, 1.0, STORE])
    assert weights(graph, request(store=None)) == pytest.approx(expected.tolist(), rel=1e-6)


def test_without_context_it_is_decayed_frequency(graph):
    assert weights(graph, withhold_context(request())) == pytest.approx(decayed(), rel=1e-6)


def test_context_changes_the_order_and_withholding_it_changes_it_back(graph):
    recommender = GraphRecommender({"name": "contextual"}, VOCABULARY, graph)
    for asked, expected in (
        (request(), ["bread", "beer", "milk"]),
        (withhold_context(request()), ["beer", "bread", "milk"]),
    ):
        assert VOCABULARY.decode(recommender.rank(asked, 3).repeat_items[0]) == expected
