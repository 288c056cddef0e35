"""The prediction log loses nothing unless its queue is full, and then reports it."""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pipeline.event_store.store import Prediction, StoreError
from pipeline.serving.engine.prediction_log import PredictionLog
from pipeline.serving.observability.metrics import metrics

NOW = datetime(2024, 3, 1, tzinfo=UTC)


def prediction(number: int) -> Prediction:
    return Prediction(
        request_id=str(number),
        user_id="ann",
        timestamp=NOW,
        store_id=None,
        k=1,
        items=["milk"],
        scores=[1.0],
        slots=["repeat"],
        propensities=[1.0],
        reasons=[["You bought it once"]],
        model_version="v",
        latency_ms=1.0,
        received_at=NOW,
    )


class Disk:
    """Stores what is written; fails while it is full."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.batches = 0
        self.full = threading.Event()

    def write(self, predictions: Sequence[Prediction]) -> None:
        if self.full.is_set():
            raise StoreError("Space", received="none", action="Make some.")
        self.batches += 1
        self.written.extend(prediction.request_id for prediction in predictions)


def dropped() -> float:
    return float(metrics().predictions_dropped._value.get())


def test_close_writes_all_predictions_in_few_batches() -> None:
    disk = Disk()
    log = PredictionLog(disk.write)
    for number in range(1_200):
        assert log.put(prediction(number))
    log.close()
    assert disk.written == [str(number) for number in range(1_200)]
    assert disk.batches <= 10


def test_a_failed_write_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serving.engine.prediction_log.RETRY_SECONDS", 0.01)
    disk = Disk()
    disk.full.set()
    log = PredictionLog(disk.write)
    log.put(prediction(1))
    threading.Event().wait(0.2)
    log.put(prediction(2))
    disk.full.clear()
    log.close()
    assert disk.written == ["1", "2"]


def test_dropped_predictions_are_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.full.set()
    before = dropped()
    log = PredictionLog(disk.write, capacity=3)
    with caplog.at_level(logging.WARNING, "evergreen.serving"):
        queued = [log.put(prediction(number)) for number in range(20)]
        log.close()
    assert not all(queued)
    assert dropped() - before == 20
    assert "dropped" in caplog.text
    assert "could not be logged before the service stopped" in caplog.text
