"""Quality without context: the same requests without time and store, and by frequency baselines.

Most requests of a replay contain the hour and the store of the trip that followed, which a page in
a store knows and a letter does not. A sample of the requests is therefore answered again in this
process: by the champion without time and store, and by the live frequency baselines, which count
the user's purchases up to the request. This does not use HTTP, because the endpoint always knows
the time. Nothing here gates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.hard_weeks import BaselineComparison, PairedValues, compare_weeks
from pipeline.monitoring.hard_weeks import as_metrics as weeks_as_metrics
from pipeline.monitoring.horizons import is_comparable, is_followed, is_mature
from pipeline.monitoring.methods import CHAMPION, CONTEXTUAL, DECAYED, SERVED, TESTED
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.quality import (
    Doubles,
    Expected,
    build_bootstrap,
    compute_metrics,
    read_expected,
)
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.slices import (
    SliceInputs,
    SliceQuality,
    label_slices,
    measure_slices,
    request_slices,
)
from pipeline.monitoring.traffic import (
    Traffic,
    sample_rows,
    select_rolling,
    spread_evenly,
    week_numbers,
)
from pipeline.recommenders.base.recommender import Recommendations, Recommender
from pipeline.testing.measure import EvaluationSet

N_SAMPLED = 2_000  # takes about twenty seconds


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
        comparison: Each week beside the best frequency baseline; None if not measured.
        slices: Each slice beside that baseline.
    """

    n_sampled: int
    store_fraction: float
    cart_fraction: float
    alternatives: tuple[Alternative, ...]
    comparison: BaselineComparison | None = None
    slices: tuple[SliceQuality, ...] = ()


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
    labelled = np.flatnonzero(
        is_mature(examples, traffic.until, days) & is_followed(examples, days)
    )
    rows = labelled[spread_evenly(len(labelled), N_SAMPLED)]
    comparable = is_comparable(examples, inputs.params.labeling.minimum_earlier_baskets)[rows]
    stores = examples.get("store_id")
    context = Context(
        n_sampled=len(rows),
        store_fraction=0.0 if stores is None else float(stores.notna().mean()),
        cart_fraction=float(examples["cart"].map(len).gt(0).mean()),
        alternatives=(),
    )
    if not comparable.any():
        return context
    evaluation_set = inputs.build_evaluation_set(examples.iloc[rows].reset_index(drop=True))
    metric = f"recall@{inputs.k}"
    predictions = {(SERVED, True): _part(replies.served, rows)} | {
        (name, is_known): recommend(
            method, evaluation_set if is_known else evaluation_set.without_context(), inputs
        )
        for name, is_known in WAYS
        if (method := methods.get(name)) is not None
    }
    measured = {
        way: np.where(
            comparable, compute_metrics(prediction, evaluation_set, inputs.k)[metric], np.nan
        )
        for way, prediction in predictions.items()
    }
    bootstrap = build_bootstrap(evaluation_set, inputs.params.monitoring, inputs.params.shop.seed)
    context = replace(context, alternatives=_alternatives(measured, bootstrap))
    best = select_best_frequency(context)
    if best is None:
        return context
    way = best.method, best.is_context_known
    week = week_numbers(evaluation_set.examples, traffic.start)
    paired = PairedValues(measured[SERVED, True], measured[way], week, bootstrap)
    tested = methods.get(f"{TESTED}{best.method}")
    sliced = SliceInputs(
        evaluation_set=evaluation_set,
        served=predictions[SERVED, True],
        baseline=predictions[way],
        bootstrap=bootstrap,
        is_late=_is_late(evaluation_set.examples),
        k=inputs.k,
    )
    return replace(
        context,
        comparison=None if tested is None else _compare_weeks(best, tested, paired, inputs),
        slices=_measure_slices(sliced, inputs),
    )


def _is_late(examples: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return [n] whether each request is in the second half of the requests' time."""
    moments = examples["timestamp"]
    middle = moments.min() + (moments.max() - moments.min()) / 2
    return np.asarray(moments > middle, dtype=bool)


def _measure_slices(sliced: SliceInputs, inputs: MonitoringInputs) -> tuple[SliceQuality, ...]:
    params, tables = inputs.params, inputs.tables
    minimum = params.labeling.minimum_earlier_baskets
    return measure_slices(
        sliced,
        request_slices(sliced.evaluation_set.examples, tables.users, minimum),
        label_slices(sliced.evaluation_set, tables.items, tables.offers),
        minimum_users=params.monitoring.minimum_users,
        maximum_loss_fraction=params.monitoring.maximum_quality_loss_fraction,
    )


def recommend(
    method: Recommender, evaluation_set: EvaluationSet, inputs: MonitoringInputs
) -> Recommendations:
    """Return lists with as many explore slots as in testing."""
    slots = inputs.testing.explore_slots
    return method.recommend(evaluation_set.requests, inputs.k, explore_slots=slots)


def _compare_weeks(
    best: Alternative, tested: Recommender, paired: PairedValues, inputs: MonitoringInputs
) -> BaselineComparison | None:
    """Return each week beside the baseline; None without requests of the test window."""
    examples = sample_rows(select_rolling(inputs.tables.examples, "test"), N_SAMPLED)
    if examples.empty:
        return None
    params, metric = inputs.params, f"recall@{inputs.k}"
    evaluation_set = inputs.build_evaluation_set(examples)
    known = evaluation_set if best.is_context_known else evaluation_set.without_context()
    values = compute_metrics(recommend(tested, known, inputs), evaluation_set, inputs.k)[metric]
    bootstrap = build_bootstrap(evaluation_set, params.monitoring, params.shop.seed)
    expected = Expected(float(np.nanmean(values)), *bootstrap.interval(values))
    served = read_expected(inputs.testing, params.monitoring.confidence)[metric]
    loss = params.monitoring.maximum_quality_loss_fraction
    return compare_weeks(best.method, paired, served, expected, loss)


# The champion with context is what was served; decayed frequency uses neither time nor store.
WAYS = ((CHAMPION, False), (DECAYED, False), (CONTEXTUAL, True), (CONTEXTUAL, False))


def _alternatives(
    values: Mapping[tuple[str, bool], Doubles], bootstrap: Bootstrap
) -> tuple[Alternative, ...]:
    served = values[SERVED, True]
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
        "weeks": None if context.comparison is None else weeks_as_metrics(context.comparison),
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
