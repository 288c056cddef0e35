"""Replies joined with later purchases, and every signal compared with the reference."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.monitoring.drift import (
    KINDS,
    WHOLE_WINDOW,
    Drift,
    RequestTimes,
    add_label_bins,
    label_signals,
    measure_drifts,
)
from pipeline.monitoring.horizons import (
    HorizonQuality,
    Mask,
    is_comparable,
    measure_horizons,
    select_counted,
)
from pipeline.monitoring.quality import (
    Quality,
    build_bootstrap,
    compute_metrics,
    measure_quality,
    read_expected,
    user_codes,
)
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.traffic import (
    Traffic,
    is_in_whole_week,
    select_rolling,
    week_numbers,
)
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.requests import encode_attributes
from pipeline.recommenders.base.training_data import build_example_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.reference import Reference, SignalReference
from pipeline.testing.signals import input_signals, output_signals

Weeks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ProductionTables:
    """The tables of collection and labeling.

    Attributes:
        examples: schemas.EXAMPLES.
        events: schemas.EVENTS of all time.
        users: schemas.USERS.
        items: schemas.ITEMS; None if no item is described.
        offers: item_id, starts and ends of schemas.OFFERS; None without offers.
    """

    examples: pd.DataFrame
    events: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame | None = None
    offers: pd.DataFrame | None = None


@dataclass(frozen=True)
class MonitoringInputs:
    """The inputs of monitoring.

    Attributes:
        tables: Tables of all time, including production.
        testing: The reference of testing.
        vocabulary: Vocabulary of the served model.
        params: All of params.yaml.
        p99_limit_ms: Latency limit of the plan.
        stage_minutes: Expected minutes of each stage in the plan.
        bundle: The champion's bundle.
    """

    tables: ProductionTables
    testing: Reference
    vocabulary: Vocabulary
    params: Params
    p99_limit_ms: float
    stage_minutes: dict[str, float] = field(default_factory=dict)
    bundle: Path = artefacts.CHAMPION.path

    @property
    def k(self) -> int:
        """The length of the lists."""
        return self.testing.k

    @cached_property
    def histories(self) -> Histories:
        """All purchases; a request uses those before it."""
        return build_histories(
            self.tables.events,
            self.vocabulary,
            maximum_lines=self.params.shop.maximum_user_lines,
        )

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        """[n_items] purchases before the test window, as in the reference."""
        events, start = self.tables.events, self.params.shop.windows().test_start
        earlier = events[(events["timestamp"] < start) & (events["event_type"] == "purchase")]
        index = self.vocabulary.encode_column(earlier["item_id"])
        counts = np.bincount(index, minlength=len(self.vocabulary)).astype(np.float64)
        counts[0] = 0.0
        return counts

    @cached_property
    def reference(self) -> SignalReference:
        """The reference of testing, with bins for the labels of the test window."""
        examples = select_rolling(self.tables.examples, "test")
        if examples.empty:
            return self.testing
        bins = self.testing.bins.values()
        return add_label_bins(
            self.testing,
            label_signals(self.build_evaluation_set(examples)),
            RequestTimes(
                week_numbers(examples, self.params.shop.windows().test_start),
                user_codes(examples),
            ),
            n_bins=max((len(signal.edges) for signal in bins), default=1) + 1,
        )

    def build_evaluation_set(self, examples: pd.DataFrame) -> EvaluationSet:
        """Return the requests of these examples with their purchases."""
        attributes = encode_attributes(self.tables.users)
        timezone = self.params.shop.timezone
        requests = build_example_requests(
            examples, self.histories, self.vocabulary, attributes, timezone
        )
        return EvaluationSet.of(examples, requests, self.vocabulary)


@dataclass(frozen=True)
class Observation:
    """The measurements of a replayed window.

    Attributes:
        traffic: The replayed requests and events.
        replies: The replies of the service.
        evaluation_set: The requests with their purchases.
        week: [n] week of each request, from 0.
        signals: One column per signal, one row per request.
        drifts: Drift of every signal.
        quality: Each metric over the window, of the requests that count at the first horizon;
            empty if it is immature.
        weekly: Each metric over each week.
        horizons: Quality at each horizon, the shortest first.
    """

    traffic: Traffic
    replies: Replies
    evaluation_set: EvaluationSet
    week: Weeks
    signals: pd.DataFrame
    drifts: tuple[Drift, ...]
    quality: dict[str, Quality]
    weekly: tuple[dict[str, Quality], ...]
    horizons: tuple[HorizonQuality, ...] = ()


def observe(traffic: Traffic, replies: Replies, inputs: MonitoringInputs) -> Observation:
    """Return the measurements of the replies to at least one request."""
    evaluation_set = inputs.build_evaluation_set(traffic.examples)
    week = week_numbers(traffic.examples, traffic.start)
    signals = pd.concat(
        [
            input_signals(evaluation_set.requests),
            output_signals(replies.served, inputs.popularity),
            label_signals(evaluation_set),
        ],
        axis=1,
    )
    params = inputs.params
    values = compute_metrics(replies.served, evaluation_set, inputs.k)
    bootstrap = build_bootstrap(evaluation_set, params.monitoring, params.shop.seed)
    expected = read_expected(inputs.testing, params.monitoring.confidence)
    horizons = measure_horizons(traffic, values, bootstrap, expected, params)
    counted = select_counted(traffic, horizons[0].days, params)
    comparable = is_comparable(traffic.examples, params.labeling.minimum_earlier_baskets)
    return Observation(
        traffic=traffic,
        replies=replies,
        evaluation_set=evaluation_set,
        week=week,
        signals=signals,
        drifts=_measure_drifts(
            signals, comparable, counted & horizons[0].is_mature, traffic, inputs
        ),
        quality=dict(horizons[0].quality),
        weekly=tuple(
            measure_quality(values, bootstrap, expected, counted & (week == number))
            for number in range(int(week.max()) + 1)
        ),
        horizons=horizons,
    )


def measure_part(
    observation: Observation, inputs: MonitoringInputs, chosen: Mask
) -> dict[str, Quality]:
    """Return each metric of the requests that count and are chosen; empty without any.

    Args:
        observation: The measurements.
        inputs: The inputs of monitoring.
        chosen: [n] mask of requests.
    """
    params, evaluation_set = inputs.params, observation.evaluation_set
    days = min(params.monitoring.horizons_days)
    return measure_quality(
        compute_metrics(observation.replies.served, evaluation_set, inputs.k),
        build_bootstrap(evaluation_set, params.monitoring, params.shop.seed),
        read_expected(inputs.testing, params.monitoring.confidence),
        select_counted(observation.traffic, days, params) & chosen,
    )


def _measure_drifts(
    signals: pd.DataFrame,
    comparable: Mask,
    labelled: Mask,
    traffic: Traffic,
    inputs: MonitoringInputs,
) -> tuple[Drift, ...]:
    """Return the drift of each signal over the requests in which it is known.

    Labels are known of `labelled` requests, and weekdays are compared over whole weeks.
    """
    week = week_numbers(traffic.examples, traffic.start)
    times = RequestTimes(week, user_codes(traffic.examples))
    whole = comparable & is_in_whole_week(traffic)
    rows = {
        name: labelled if KINDS[name] == "label" else whole if name in WHOLE_WINDOW else comparable
        for name in KINDS
    }
    return tuple(
        drift
        for name, chosen in rows.items()
        if chosen.any()
        for drift in measure_drifts(
            signals.loc[chosen, [name]],
            times.select(chosen),
            inputs.reference,
            inputs.params.shop.seed,
        )
    )
