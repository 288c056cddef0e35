"""The Prometheus metrics of the endpoint; no request can add label values.

They are created once, in the single worker, and stay in its memory: with the files through which
BentoML shares metrics between processes, every count would cost a system call. BentoML's own
metrics are off, because they add a series for every requested path.
"""

import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from pipeline.serving.observability.current_request import add_stages

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 2.0)
LAG_SECONDS = (0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)
SHARED = "PROMETHEUS_MULTIPROC_DIR"


def _counter(name: str, text: str, *labels: str) -> "Counter":
    from prometheus_client import Counter

    return Counter(name, text, labels)


def _gauge(name: str, text: str, *labels: str) -> "Gauge":
    from prometheus_client import Gauge

    return Gauge(name, text, labels)


def _histogram(
    name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS
) -> "Histogram":
    from prometheus_client import Histogram

    return Histogram(name, text, labels, buckets=buckets)


@dataclass(frozen=True)
class Metrics:
    """All metrics of the endpoint."""

    requests: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_requests", "Answered requests, by route and status.", "route", "status"
        )
    )
    request_seconds: "Histogram" = field(
        default_factory=lambda: _histogram(
            "evergreen_request_seconds",
            "Time from a request's first byte to the end of its answer, by route.",
            "route",
        )
    )
    requests_in_progress: "Gauge" = field(
        default_factory=lambda: _gauge("evergreen_requests_in_progress", "Requests in progress.")
    )
    denied: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_requests_denied",
            "Denied requests, by reason: key, scope, place, origin, host, path, size.",
            "reason",
        )
    )
    limited: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_requests_limited", "Requests above the rate limit, by key.", "key"
        )
    )
    audit_errors: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_audit_errors", "Audit lines that could not be written."
        )
    )
    answer_seconds: "Histogram" = field(
        default_factory=lambda: _histogram(
            "evergreen_answer_seconds",
            "Time to a recommendation, by stage: queue, build, model, explain.",
            "stage",
        )
    )
    answers: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_answers", "Recommendations, by kind of shopper: known, new.", "shopper"
        )
    )
    fallbacks: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_fallbacks", "Recommendations that were filled up with popular items."
        )
    )
    cache_lookups: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_kept",
            "Lookups in the answer cache, by whether it had a valid answer: yes, no.",
            "found",
        )
    )
    items: "Counter" = field(
        default_factory=lambda: _counter("evergreen_items", "Recommended items, by slot.", "slot")
    )
    events: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_events", "Acknowledged new events, by type.", "event_type"
        )
    )
    event_lag: "Histogram" = field(
        default_factory=lambda: _histogram(
            "evergreen_event_lag_seconds",
            "Age of the newest event of a delivery when it is stored.",
            buckets=LAG_SECONDS,
        )
    )
    duplicates: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_event_duplicates", "Events that were already stored."
        )
    )
    store_errors: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_store_errors", "Failed writes to the event store."
        )
    )
    predictions_logged: "Counter" = field(
        default_factory=lambda: _counter("evergreen_predictions_logged", "Predictions on disk.")
    )
    predictions_dropped: "Counter" = field(
        default_factory=lambda: _counter(
            "evergreen_predictions_dropped", "Predictions dropped because the queue was full."
        )
    )
    predictions_waiting: "Gauge" = field(
        default_factory=lambda: _gauge(
            "evergreen_predictions_waiting", "Predictions not yet on disk."
        )
    )
    model: "Gauge" = field(
        default_factory=lambda: _gauge(
            "evergreen_model_info", "1 for each model that serves.", "version", "name"
        )
    )


@cache
def metrics() -> Metrics:
    """Return this process's metrics."""
    os.environ.pop(SHARED, None)
    return Metrics()


def measure_stages(**seconds: float) -> None:
    """Record the durations of an answer's stages, which become spans of a traced request."""
    for stage, value in seconds.items():
        metrics().answer_seconds.labels(stage=stage).observe(value)
    add_stages(seconds)


def render_metrics() -> tuple[bytes, str]:
    """Return all metrics in Prometheus text format, and its media type."""
    metrics()
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
