"""Operations of a running service, from its counters."""

import pandas as pd
import pytest

from pipeline.contracts.params import read_params
from pipeline.monitoring.operations import (
    operations_evidence,
    summarise_operations,
)
from tests.support.tiny_shop import PROJECT

PARAMS = read_params(PROJECT / "params.yaml").monitoring
COUNTERS = {
    ("requests", "/recommend 200"): 90.0,
    ("requests", "/recommend 504"): 6.0,
    ("requests", "/recommend 429"): 4.0,
    ("requests", "/recommend 400"): 2.0,  # the client's fault
    ("requests", "/events 201"): 50.0,
    ("requests", "/events 503"): 5.0,
    ("requests", "/events 413"): 3.0,  # rejected for good
    ("requests", "/events 401"): 1.0,  # without a key
    ("requests", "other 500"): 1_000.0,
    ("recommend_seconds", "0.01"): 99.0,
    ("recommend_seconds", "0.02"): 100.0,
    ("recommend_seconds", "+Inf"): 100.0,
    ("predictions_dropped", ""): 7.0,
}
ARRIVALS = pd.DataFrame(
    {
        "timestamp": pd.to_datetime(["2024-03-01T00:00:00Z"] * 3),
        "received_at": pd.to_datetime(
            ["2024-03-01T00:00:01Z", "2024-03-01T00:00:02Z", "2024-03-01T00:00:03Z"]
        ),
    }
)


def test_attempts_are_counted_by_what_became_of_them() -> None:
    operations = summarise_operations(COUNTERS, ARRIVALS)
    assert operations is not None
    assert operations.n_attempts == 90 + 6 + 4 + 2 + 50 + 5 + 3 + 1
    assert operations.n_failed == 6 + 4 + 5
    assert operations.n_rejected == 3
    assert (operations.n_dropped, operations.n_store_errors) == (7, 0)
    assert operations.lag_seconds == pytest.approx((2.0, 2.98))
    assert operations.speed is not None
    assert operations.speed.p99_ms == pytest.approx(10.0)
    assert operations.calls.n_failed_first == 15


def test_without_counters_nothing_is_known() -> None:
    assert summarise_operations({}, ARRIVALS) is None
    assert operations_evidence(None, PARAMS) == ()


def test_a_service_without_events_or_answers_has_no_lag_and_no_latency() -> None:
    operations = summarise_operations({("store_errors", ""): 1.0}, ARRIVALS.iloc[:0])
    assert operations is not None
    assert (operations.lag_seconds, operations.speed, operations.n_attempts) == (None, None, 0)
    evidence = {item.name: item for item in operations_evidence(operations, PARAMS)}
    assert not evidence["store_errors"].holds
    assert evidence["rejected_deliveries"].holds
    assert not any(item.gates for item in evidence.values())
