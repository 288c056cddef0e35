"""The case of a judged window, and the quality of the champion on it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.monitoring.context import recommend
from pipeline.monitoring.diagnosis.case import BEFORE_DAYS, Case
from pipeline.monitoring.diagnosis.diagnose import Confirmed
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.quality import compute_metrics
from pipeline.monitoring.traffic import Traffic, select_rolling, spread_evenly
from pipeline.recommenders.base.recommender import Recommender

# Requests that are answered again with and without a cause; takes a few seconds each.
N_SAMPLED = 600


@dataclass(frozen=True)
class Restored:
    """The champion's quality on a sample of requests, with a cause and with it undone."""

    faulty: float
    undone: float

    @property
    def gain(self) -> float:
        """The quality that undoing the cause restores."""
        return self.undone - self.faulty


def build_case(traffic: Traffic, inputs: MonitoringInputs) -> Case:
    """Return the case of a window."""
    start = pd.Timestamp(traffic.start)
    until = start + pd.Timedelta(days=1) if traffic.until is None else pd.Timestamp(traffic.until)
    days = max(round((until - start) / pd.Timedelta(days=1)), 1)
    events = inputs.tables.events
    events = events[events["event_type"] == "purchase"]
    oldest = start - pd.Timedelta(days=BEFORE_DAYS + days)
    is_past = (events["timestamp"] >= oldest) & (events["timestamp"] < start)
    labelled = select_rolling(inputs.tables.examples, "production")
    moments = labelled["timestamp"]
    return Case(
        start=start,
        days=days,
        timezone=ZoneInfo(inputs.params.shop.timezone),
        past=events[is_past],
        now=traffic.events[traffic.events["event_type"] == "purchase"],
        requests=traffic.examples,
        labelled=labelled[(moments >= start) & (moments < until)],
        known_items=frozenset(inputs.vocabulary.ids),
        held_out=tuple(
            member.model_dump(mode="json", by_alias=True)
            for member in inputs.params.collection.quarantined
        ),
    )


def restore_quality(
    causes: Iterable[Confirmed], inputs: MonitoringInputs, champion: Recommender
) -> dict[str, Restored]:
    """Return the champion's quality before and after undoing each cause that a copy shows."""
    restored = {}

    @cache  # what one cause leaves behind is where the next one begins
    def measure(case: Case) -> float:
        return _measure_quality(case, inputs, champion)

    for cause in causes:
        if cause.value_after is None:
            continue
        quality = Restored(measure(cause.before), measure(cause.after))
        if not np.isnan(quality.gain):
            restored[cause.measured.cause.name] = quality
    return restored


def _measure_quality(case: Case, inputs: MonitoringInputs, champion: Recommender) -> float:
    """Return the champion's mean recall on a sample of the requests of a case."""
    rows = spread_evenly(len(case.requests), N_SAMPLED)
    if not len(rows):
        return float("nan")
    past = inputs.tables.events[inputs.tables.events["timestamp"] < case.start]
    events = pd.concat([past, case.now], ignore_index=True)
    inputs = replace(inputs, tables=replace(inputs.tables, events=events))
    evaluation_set = inputs.build_evaluation_set(case.requests.iloc[rows].reset_index(drop=True))
    served = recommend(champion, evaluation_set, inputs)
    metrics = compute_metrics(served, evaluation_set, inputs.k)
    return float(np.nanmean(metrics[f"recall@{inputs.k}"]))
