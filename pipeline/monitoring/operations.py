"""Operations of a running service in a period: errors, latency, late and lost rows, releases.

They come from the counters that the service keeps in its event store, and from the rows themselves.
A replay has the counts of its client instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.verdicts import Evidence
from pipeline.monitoring.observe import MonitoringInputs, Observation, measure_part
from pipeline.monitoring.quality import Quality
from pipeline.monitoring.replay import Calls
from pipeline.monitoring.speed import Speed, build_speed
from pipeline.serving.observability.counter_log import (
    PREDICTIONS_DROPPED,
    REQUESTS,
    SECONDS_BUCKETS,
    STORE_ERRORS,
)

ROUTES = ("/recommend", "/events")
EVENTS_ROUTE = "/events"
SERVER_ERROR = 500
# Of a client without a key or with too many requests, which may try again.
RETRIED = frozenset({401, 403, 429})
CLIENT_ERROR = 400
TOO_MANY = 429


@dataclass(frozen=True)
class Operations:
    """Operations of a service in a period.

    Attributes:
        n_attempts: Attempts to get a recommendation or to deliver events.
        n_failed: Those that the service answered by an error of its own or refused as too many.
        n_rejected: Deliveries of events that the service rejected for good.
        n_dropped: Answers that are not in the prediction log.
        n_store_errors: Failed writes to the event store.
        lag_seconds: Median and 99th percentile of an event's arrival minus its timestamp; None
            without events.
        speed: Latency of recommendations; None without a recommendation.
    """

    n_attempts: int
    n_failed: int
    n_rejected: int
    n_dropped: int
    n_store_errors: int
    lag_seconds: tuple[float, float] | None
    speed: Speed | None

    @property
    def calls(self) -> Calls:
        """The attempts as calls; a service cannot know which of them repeat a failed one."""
        return Calls(self.n_attempts, self.n_failed, self.n_failed)


@dataclass(frozen=True)
class ReleaseQuality:
    """The share of one model version in the answers, and their quality.

    Attributes:
        version: Version of the bundle.
        n_requests: Sampled requests that it answered.
        share: Their share, in 0..1.
        quality: Each metric; empty without labels.
    """

    version: str
    n_requests: int
    share: float
    quality: Mapping[str, Quality]


def summarise_operations(
    counters: Mapping[tuple[str, str], float], events: pd.DataFrame
) -> Operations | None:
    """Return the operations of a period; None if the service kept no counters in it.

    Args:
        counters: From `EventStoreReader.read_counters`.
        events: timestamp and received_at of the period's events.
    """
    if not counters:
        return None
    attempts: list[tuple[str, int, float]] = []
    for (name, labels), increase in counters.items():
        route, _, status = labels.rpartition(" ")
        if name == REQUESTS and route in ROUTES:
            attempts.append((route, int(status), increase))
    failed = sum(n for _, status, n in attempts if status >= SERVER_ERROR or status == TOO_MANY)
    rejected = sum(
        n
        for route, status, n in attempts
        if route == EVENTS_ROUTE and CLIENT_ERROR <= status < SERVER_ERROR and status not in RETRIED
    )
    buckets = {
        float(bound): total for (name, bound), total in counters.items() if name == SECONDS_BUCKETS
    }
    lag = (events["received_at"] - events["timestamp"]).dt.total_seconds()
    return Operations(
        n_attempts=int(sum(n for _, _, n in attempts)),
        n_failed=int(failed),
        n_rejected=int(rejected),
        n_dropped=int(counters.get((PREDICTIONS_DROPPED, ""), 0.0)),
        n_store_errors=int(counters.get((STORE_ERRORS, ""), 0.0)),
        lag_seconds=None if lag.empty else (float(lag.quantile(0.5)), float(lag.quantile(0.99))),
        speed=build_speed(buckets) if buckets else None,
    )


def measure_releases(
    observation: Observation, inputs: MonitoringInputs
) -> tuple[ReleaseQuality, ...]:
    """Return every model version that answered, the most frequent first.

    Args:
        observation: The measurements; without `model_version`, nothing is known.
        inputs: The inputs of monitoring.
    """
    examples = observation.traffic.examples
    if "model_version" not in examples:
        return ()
    counts = examples["model_version"].value_counts()
    releases = []
    for version in sorted(counts.index, key=lambda name: (-counts[name], name)):
        answered = np.asarray(examples["model_version"] == version, dtype=bool)
        releases.append(
            ReleaseQuality(
                version=str(version),
                n_requests=int(counts[version]),
                share=float(counts[version] / len(examples)),
                quality=measure_part(observation, inputs, answered),
            )
        )
    return tuple(releases)


def operations_evidence(
    operations: Operations | None, params: MonitoringParams
) -> tuple[Evidence, ...]:
    """Return the evidence of a running service; it warns."""
    if operations is None:
        return ()
    counts = (
        ("rejected_deliveries", operations.n_rejected, "of events, lost unless they are corrected"),
        ("dropped_predictions", operations.n_dropped, "answers that are not in the store"),
        ("store_errors", operations.n_store_errors, "failed writes, which the service repeats"),
    )
    evidence = [
        Evidence(name=name, value=float(n), bound=0.0, holds=not n, gates=False, note=note)
        for name, n, note in counts
    ]
    if operations.lag_seconds is not None:
        median, tail = operations.lag_seconds
        limit = 3_600.0 * params.maximum_event_lag_hours
        evidence.append(
            Evidence(
                name="event_lag_seconds",
                value=tail,
                bound=limit,
                holds=tail <= limit,
                gates=False,
                note=f"99th percentile of arrival minus event time; median {median:.0f} s",
            )
        )
    return tuple(evidence)


def release_evidence(releases: tuple[ReleaseQuality, ...], metric: str) -> tuple[Evidence, ...]:
    """Return which model versions answered, each with its quality."""
    if not releases:
        return ()
    parts = []
    for release in releases:
        quality = release.quality.get(metric)
        words = "" if quality is None else f", {metric} {quality.value:.4f}"
        interval = "" if quality is None else f" [{quality.low:.4f}, {quality.high:.4f}]"
        parts.append(f"{release.version} {release.share:.1%} of the answers{words}{interval}")
    return (
        Evidence(
            name="releases",
            value=float(len(releases)),
            holds=True,
            gates=False,
            note="; ".join(parts),
        ),
    )


def as_metrics(operations: Operations) -> dict[str, Any]:
    """Return the JSON value for metrics.json."""
    median, tail = operations.lag_seconds or (None, None)
    return {
        "attempts": operations.n_attempts,
        "failed_attempts": operations.n_failed,
        "rejected_deliveries": operations.n_rejected,
        "dropped_predictions": operations.n_dropped,
        "store_errors": operations.n_store_errors,
        "event_lag_seconds": {"median": median, "p99": tail},
        "p99_ms": None if operations.speed is None else operations.speed.finite_p99_ms,
    }


def releases_as_metrics(releases: tuple[ReleaseQuality, ...], metric: str) -> dict[str, Any]:
    """Return the JSON value for metrics.json."""
    values: dict[str, Any] = {}
    for release in releases:
        values[release.version] = {"n_requests": release.n_requests, "share": release.share}
        if (quality := release.quality.get(metric)) is not None:
            values[release.version][metric] = {
                "value": quality.value,
                "low": quality.low,
                "high": quality.high,
            }
    return values
