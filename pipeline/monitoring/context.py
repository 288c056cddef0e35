"""Quality without context: the same requests without time and store, and by frequency baselines.

Most requests of a replay contain the hour and the store of the trip that followed, which a page in
a store knows and a letter does not. A sample of the requests is therefore answered again in this
process: by the champion without time and store, and by the live frequency baselines, which count
the user's purchases up to the request. This does not use HTTP, because the endpoint always knows
the time. Nothing here gates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.contracts.params import BaselineParams
from pipeline.monitoring.horizons import select_counted
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.quality import build_bootstrap, compute_metrics
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.traffic import Traffic, spread_evenly
from pipeline.recommenders.base.recommender import Recommendations, Recommender
from pipeline.testing.measure import EvaluationSet

N_SAMPLED = 1_000  # takes about ten seconds
SERVED, CHAMPION, DECAYED, CONTEXTUAL = "served", "champion", "decayed", "contextual"


@dataclass(frozen=True)
class Alternative:
    """Quality of one way to answer the sampled requests.

    Attributes:
        method: SERVED for the endpoint's answers, or the name of a method.
        is_context_known: Whether the method receives the hour, the weekday and the store.
        value: Mean over requests.
        low: Lower end of the interval.
        high: Upper end of the interval.
        lead: Lead of the served answers over this: difference, low, high, paired by request.
    """

    method: str
    is_context_known: bool
    value: float
    low: float
    high: float
    lead: Mapping[str, float]


@dataclass(frozen=True)
class Context:
    """The context of requests, and its effect on quality.

    Attributes:
        n_sampled: Size of the sample.
        store_fraction: Share of all requests with a store, in 0..1.
        cart_fraction: Share of all requests with items in the cart, in 0..1.
        alternatives: Results of each way to answer, the served answers first.
    """

    n_sampled: int
    store_fraction: float
    cart_fraction: float
    alternatives: tuple[Alternative, ...]


def read_methods(
    champion: Path, inputs: MonitoringInputs, baselines: BaselineParams
) -> dict[str, Recommender]:
    """Return the champion and the live frequency baselines, loaded in this process.

    Args:
        champion: Folder of the verified bundle.
        inputs: Histories and vocabulary; popularity is that of `as_of`.
        baselines: Settings of the baselines, as in training.
    """
    from pipeline.recommenders.base.items import compute_item_state
    from pipeline.recommenders.base.saved import GraphRecommender
    from pipeline.recommenders.baselines.frequency import (
        EXPLORE_CATALOGUE,
        ContextualGraph,
        DecayGraph,
    )
    from pipeline.recommenders.onnx.graph import load_onnx

    as_of, n_items = inputs.params.shop.windows().as_of.timestamp(), len(inputs.vocabulary)
    state = compute_item_state(
        inputs.histories, n_items, as_of, popular_days=baselines.popular_days
    )
    graphs = {
        DECAYED: DecayGraph(state.popularity, EXPLORE_CATALOGUE, baselines.decay_days),
        CONTEXTUAL: ContextualGraph(state.popularity, EXPLORE_CATALOGUE, baselines),
    }
    return {CHAMPION: load_onnx(champion)} | {
        name: GraphRecommender({"name": name}, inputs.vocabulary, graph)
        for name, graph in graphs.items()
    }


def build_context(
    traffic: Traffic, replies: Replies, inputs: MonitoringInputs, methods: Mapping[str, Recommender]
) -> Context:
    """Return the context of the requests, and the quality of each way to answer a sample.

    Args:
        traffic: The replayed requests.
        replies: The replies of the service.
        inputs: The inputs of monitoring.
        methods: Methods of `read_methods`, by name.
    """
    examples = traffic.examples
    days = min(inputs.params.monitoring.horizons_days)
    counted = np.flatnonzero(select_counted(traffic, days, inputs.params))
    rows = counted[spread_evenly(len(counted), N_SAMPLED)]
    stores = examples.get("store_id")
    context = Context(
        n_sampled=len(rows),
        store_fraction=0.0 if stores is None else float(stores.notna().mean()),
        cart_fraction=float(examples["cart"].map(len).gt(0).mean()),
        alternatives=(),
    )
    if not len(rows):
        return context
    evaluation_set = inputs.build_evaluation_set(examples.iloc[rows].reset_index(drop=True))
    served = _part(replies.served, rows)
    predictions = {(SERVED, True): served} | {
        (name, is_known): method.recommend(
            (evaluation_set if is_known else evaluation_set.without_context()).requests,
            inputs.k,
            explore_slots=inputs.testing.explore_slots,
        )
        for name, is_known in WAYS
        if (method := methods.get(name)) is not None
    }
    return replace(context, alternatives=_alternatives(predictions, evaluation_set, inputs))


# The champion with context is what was served; decayed frequency uses neither time nor store.
WAYS = ((CHAMPION, False), (DECAYED, False), (CONTEXTUAL, True), (CONTEXTUAL, False))


def _alternatives(
    predictions: Mapping[tuple[str, bool], Recommendations],
    evaluation_set: EvaluationSet,
    inputs: MonitoringInputs,
) -> tuple[Alternative, ...]:
    metric = f"recall@{inputs.k}"
    values = {
        way: compute_metrics(prediction, evaluation_set, inputs.k)[metric]
        for way, prediction in predictions.items()
    }
    served = values[SERVED, True]
    if np.isnan(served).all():
        return ()
    bootstrap = build_bootstrap(evaluation_set, inputs.params.monitoring, inputs.params.shop.seed)
    alternatives = []
    for (method, is_known), value in values.items():
        low, high = bootstrap.interval(value)
        lead = bootstrap.paired(served, value)
        alternatives.append(
            Alternative(method, is_known, float(np.nanmean(value)), low, high, lead)
        )
    return tuple(alternatives)


def select_best_frequency(context: Context | None) -> Alternative | None:
    """Return the best frequency baseline with the same context, or None."""
    ways = () if context is None else context.alternatives
    counted = [
        way
        for way in ways
        if way.method == DECAYED or (way.method == CONTEXTUAL and way.is_context_known)
    ]
    return max(counted, key=lambda way: way.value, default=None)


def _part(served: Recommendations, rows: npt.NDArray[np.int64]) -> Recommendations:
    return Recommendations(served.items[rows], served.scores[rows], served.slots[rows])


def as_metrics(context: Context, metric: str) -> dict[str, Any]:
    """Return the JSON value for metrics.json."""
    return {
        "n_requests": context.n_sampled,
        "store_fraction": context.store_fraction,
        "cart_fraction": context.cart_fraction,
        metric: {
            f"{way.method}, time and store {'known' if way.is_context_known else 'unknown'}": {
                "value": way.value,
                "low": way.low,
                "high": way.high,
                "lead_of_served": dict(way.lead),
            }
            for way in context.alternatives
        },
    }
