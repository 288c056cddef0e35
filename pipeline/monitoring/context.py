"""What quality rests on: the same requests with less known of the trip, and answered by frequency.

Most requests of a replay name the hour and the store of the trip that followed, which a page in a
store knows and a letter does not. So a sample of them is answered again, in this process, by the
champion with time and store withheld, and by the live frequency baselines: counts of the shopper's
own purchases up to the moment of the request. The bundle is asked without HTTP, since the endpoint
always knows what time it is. Nothing here gates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.contracts.params import BaselineParams
from pipeline.monitoring.observe import Known
from pipeline.monitoring.quality import bootstrap_of, values_of
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.traffic import Traffic, evenly
from pipeline.recommenders.base.recommender import Recommendations, Recommender
from pipeline.testing.measure import EvaluationSet

N_ASKED = 1_000  # in about ten seconds
SERVED, CHAMPION, DECAYED, CONTEXTUAL = "served", "champion", "decayed", "contextual"


@dataclass(frozen=True)
class Alternative:
    """Quality of the sampled requests, answered in one way.

    Attributes:
        method: SERVED for the endpoint's own answers, or the name of a method.
        is_context_known: Whether the method is given the hour, the weekday and the store.
        value: Mean over requests.
        low: Lower end of its interval.
        high: Upper end.
        lead: Of what was served over this: difference, low, high, paired by request.
    """

    method: str
    is_context_known: bool
    value: float
    low: float
    high: float
    lead: Mapping[str, float]


@dataclass(frozen=True)
class Context:
    """What requests knew, and what it was worth.

    Attributes:
        n_asked: Size of the sample.
        store_fraction: Share of all requests that name a store.
        cart_fraction: Share that have something in the cart.
        alternatives: The served answers first.
    """

    n_asked: int
    store_fraction: float
    cart_fraction: float
    alternatives: tuple[Alternative, ...]


def read_methods(champion: Path, known: Known, baselines: BaselineParams) -> dict[str, Recommender]:
    """Return the champion and the live frequency baselines, to be asked in this process.

    Args:
        champion: The bundle's folder, verified.
        known: Histories and vocabulary; what is popular is that of `as_of`.
        baselines: The same as in training.
    """
    from pipeline.recommenders.base.items import item_state
    from pipeline.recommenders.base.saved import GraphRecommender
    from pipeline.recommenders.baselines.frequency import (
        EXPLORE_CATALOGUE,
        ContextualGraph,
        DecayGraph,
    )
    from pipeline.recommenders.onnx.graph import load_onnx

    as_of, n_items = known.params.shop.windows().as_of.timestamp(), len(known.vocabulary)
    state = item_state(known.histories, n_items, as_of, popular_days=baselines.popular_days)
    graphs = {
        DECAYED: DecayGraph(state.popularity, EXPLORE_CATALOGUE, baselines.decay_days),
        CONTEXTUAL: ContextualGraph(state.popularity, EXPLORE_CATALOGUE, baselines),
    }
    return {CHAMPION: load_onnx(champion)} | {
        name: GraphRecommender({"name": name}, known.vocabulary, graph)
        for name, graph in graphs.items()
    }


def context_of(
    traffic: Traffic, replies: Replies, known: Known, methods: Mapping[str, Recommender]
) -> Context:
    """Return what requests knew, and the quality of a sample of them, answered in every way.

    Args:
        traffic: What was asked.
        replies: What came back.
        known: What it is held against.
        methods: By name, some of `read_methods`.
    """
    asking = traffic.asking
    rows = evenly(len(asking), N_ASKED)
    questions = known.questions(asking.iloc[rows].reset_index(drop=True))
    served = _part(replies.served, rows)
    answers = {(SERVED, True): served} | {
        (name, is_known): method.recommend(
            (questions if is_known else questions.without_context()).requests,
            known.k,
            explore_slots=int(known.testing["explore_slots"]),
        )
        for name, is_known in WAYS
        if (method := methods.get(name)) is not None
    }
    stores = asking.get("store_id")
    return Context(
        n_asked=len(rows),
        store_fraction=0.0 if stores is None else float(stores.notna().mean()),
        cart_fraction=float(asking["cart"].map(len).gt(0).mean()),
        alternatives=_alternatives(answers, questions, known),
    )


# The champion with all it knows is what was served; plain frequency uses neither time nor store.
WAYS = ((CHAMPION, False), (DECAYED, False), (CONTEXTUAL, True), (CONTEXTUAL, False))


def _alternatives(
    answers: Mapping[tuple[str, bool], Recommendations], questions: EvaluationSet, known: Known
) -> tuple[Alternative, ...]:
    metric = f"recall@{known.k}"
    values = {way: values_of(answer, questions, known.k)[metric] for way, answer in answers.items()}
    served = values[SERVED, True]
    if np.isnan(served).all():
        return ()
    bootstrap = bootstrap_of(questions, known.params.monitoring, known.params.shop.seed)
    found = []
    for (method, is_known), value in values.items():
        low, high = bootstrap.interval(value)
        lead = bootstrap.paired(served, value)
        found.append(Alternative(method, is_known, float(np.nanmean(value)), low, high, lead))
    return tuple(found)


def best_frequency(context: Context | None) -> Alternative | None:
    """Return the best frequency baseline that knew what was known; None where none was asked."""
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
    """Return what metrics.json holds of it."""
    return {
        "n_requests": context.n_asked,
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
