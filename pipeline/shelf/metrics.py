"""What /metrics tells beside BentoML's own numbers.

Made once per process, in the worker: under BentoML the values live in files that all processes
share, and where these lie is only known there.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Metrics:
    """All of Evergreen's own metrics."""

    answer_seconds: "Histogram"
    answers: "Counter"
    items: "Counter"
    events: "Counter"
    duplicates: "Counter"
    store_errors: "Counter"
    predictions_logged: "Counter"
    predictions_dropped: "Counter"
    predictions_waiting: "Gauge"
    model: "Gauge"


@cache
def metrics() -> Metrics:
    """Return this process's metrics."""
    from prometheus_client import Counter, Gauge, Histogram

    return Metrics(
        answer_seconds=Histogram(
            "evergreen_answer_seconds",
            "Time to a recommendation by stage: build, model, explain.",
            ["stage"],
            buckets=SECONDS,
        ),
        answers=Counter(
            "evergreen_answers", "Recommendations by kind of shopper: known, new.", ["shopper"]
        ),
        items=Counter("evergreen_items", "Recommended items by slot.", ["slot"]),
        events=Counter("evergreen_events", "Acknowledged new events by type.", ["event_type"]),
        duplicates=Counter("evergreen_event_duplicates", "Events that were there already."),
        store_errors=Counter("evergreen_store_errors", "Writes that the event store refused."),
        predictions_logged=Counter("evergreen_predictions_logged", "Predictions on disk."),
        predictions_dropped=Counter(
            "evergreen_predictions_dropped", "Predictions that could not be logged: queue full."
        ),
        predictions_waiting=Gauge(
            "evergreen_predictions_waiting",
            "Predictions not yet on disk.",
            multiprocess_mode="livesum",
        ),
        model=Gauge(
            "evergreen_model_info",
            "1 for the model that answers.",
            ["version", "name"],
            multiprocess_mode="livemax",
        ),
    )
