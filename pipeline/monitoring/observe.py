"""Replies joined with what was then bought, and every signal of them against the reference."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import Params
from pipeline.monitoring.drift import Drift, RequestTimes, drifts_of, label_signals, with_label_bins
from pipeline.monitoring.quality import (
    Quality,
    bootstrap_of,
    expected_of,
    quality_of,
    user_codes,
    values_of,
)
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.traffic import Traffic, rolling, week_numbers
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.requests import attribute_codes
from pipeline.recommenders.base.shop import requests_of
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.signals import input_signals, output_signals

Weeks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ProductionTables:
    """What collection and labeling wrote.

    Attributes:
        examples: schemas.EXAMPLES.
        events: schemas.EVENTS of all time.
        users: schemas.USERS.
    """

    examples: pd.DataFrame
    events: pd.DataFrame
    users: pd.DataFrame


@dataclass(frozen=True)
class Known:
    """What traffic is held against.

    Attributes:
        tables: Production included.
        testing: Contents of reports/testing/reference.json.
        vocabulary: Of the served model.
        params: All.
        p99_limit_ms: What the plan allows a recommendation to take.
        stage_minutes: What the plan expects each stage to take.
    """

    tables: ProductionTables
    testing: dict[str, Any]
    vocabulary: Vocabulary
    params: Params
    p99_limit_ms: float
    stage_minutes: dict[str, float] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.testing["k"])

    @cached_property
    def histories(self) -> Histories:
        """Every purchase of all time; a request takes what lies before it."""
        return build_histories(
            self.tables.events,
            self.vocabulary,
            maximum_lines=self.params.shop.maximum_user_lines,
        )

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        """[n_items] purchases before the test window: the ruler that the reference was cut with."""
        events, start = self.tables.events, self.params.shop.windows().test_start
        known = events[(events["timestamp"] < start) & (events["event_type"] == "purchase")]
        index = self.vocabulary.encode_column(known["item_id"])
        counts = np.bincount(index, minlength=len(self.vocabulary)).astype(np.float64)
        counts[0] = 0.0
        return counts

    @cached_property
    def reference(self) -> dict[str, Any]:
        """The reference of testing, with bins for the labels of the test window."""
        examples = rolling(self.tables.examples, "test")
        if examples.empty:
            return self.testing
        bins = self.testing["bins"].values()
        return with_label_bins(
            self.testing,
            label_signals(self.questions(examples)),
            RequestTimes(
                week_numbers(examples, self.params.shop.windows().test_start),
                user_codes(examples),
            ),
            n_bins=max((len(each["edges"]) for each in bins), default=1) + 1,
        )

    def questions(self, examples: pd.DataFrame) -> EvaluationSet:
        """Return the requests of these examples with what was then bought."""
        attributes = attribute_codes(self.tables.users)
        timezone = self.params.shop.timezone
        requests = requests_of(examples, self.histories, self.vocabulary, attributes, timezone)
        return EvaluationSet.of(examples, requests, self.vocabulary)


@dataclass(frozen=True)
class Observation:
    """Numbers of a replayed window.

    Attributes:
        traffic: What was asked.
        replies: What came back.
        questions: The requests with what was then bought.
        week: [n] of each request, from 0.
        signals: One column per signal, one row per request.
        drifts: Every signal against its reference.
        quality: Each metric over the window.
        weekly: The same of each week.
    """

    traffic: Traffic
    replies: Replies
    questions: EvaluationSet
    week: Weeks
    signals: pd.DataFrame
    drifts: tuple[Drift, ...]
    quality: dict[str, Quality]
    weekly: tuple[dict[str, Quality], ...]


def observe(traffic: Traffic, replies: Replies, known: Known) -> Observation:
    """Return what there is to see in the replies to at least one request."""
    questions = known.questions(traffic.asking)
    week = week_numbers(traffic.asking, traffic.start)
    signals = pd.concat(
        [
            input_signals(questions.requests),
            output_signals(replies.served, known.popularity),
            label_signals(questions),
        ],
        axis=1,
    )
    values = values_of(replies.served, questions, known.k)
    bootstrap = bootstrap_of(questions, known.params.monitoring, known.params.shop.seed)
    expected = expected_of(known.testing, known.params.monitoring.confidence)
    asked = RequestTimes(week, user_codes(traffic.asking))
    return Observation(
        traffic=traffic,
        replies=replies,
        questions=questions,
        week=week,
        signals=signals,
        drifts=drifts_of(signals, asked, known.reference, known.params.shop.seed),
        quality=quality_of(values, bootstrap, expected),
        weekly=tuple(
            quality_of(values, bootstrap, expected, week == number)
            for number in range(int(week.max()) + 1)
        ),
    )
