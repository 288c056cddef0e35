"""The growth of the service's counters, written to the event store."""

from collections.abc import Sequence

import pytest

from pipeline.event_store.errors import StoreError
from pipeline.event_store.tables import CounterIncrease
from pipeline.serving.observability.counter_log import CounterLog
from pipeline.serving.observability.metrics import metrics


class Written:
    """A store that keeps what is written, and fails if told to."""

    def __init__(self) -> None:
        self.rows: list[CounterIncrease] = []
        self.fails = False

    def write(self, increases: Sequence[CounterIncrease]) -> None:
        if self.fails:
            raise StoreError("a write", received="a full disk", action="Free some space.")
        self.rows += increases

    def totals(self) -> dict[tuple[str, str], float]:
        totals: dict[tuple[str, str], float] = {}
        for row in self.rows:
            key = row.name, row.labels
            totals[key] = totals.get(key, 0.0) + row.increase
        return totals


def ask(status: int = 200, seconds: float = 0.003) -> None:
    metrics().requests.labels(route="/recommend", status=status).inc()
    metrics().request_seconds.labels(route="/recommend").observe(seconds)


def test_only_the_growth_since_the_last_write_is_written() -> None:
    ask()  # before the log began
    written = Written()
    counters = CounterLog(written.write)
    ask()
    ask(503)
    counters.flush()
    counters.flush()  # nothing has grown
    ask()
    counters.close()
    totals = written.totals()
    assert totals["requests", "/recommend 200"] == 2
    assert totals["requests", "/recommend 503"] == 1
    assert ("recommend_seconds", "0.002") not in totals
    assert totals["recommend_seconds", "0.004"] == totals["recommend_seconds", "+Inf"] == 3
    assert all(row.hour.minute == row.hour.second == 0 for row in written.rows)


def test_what_could_not_be_written_is_part_of_the_next_write(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = Written()
    counters = CounterLog(written.write)
    ask()
    metrics().predictions_dropped.inc(2)
    written.fails = True
    with pytest.raises(StoreError, match="a full disk"):
        counters.flush()
    counters.close()
    assert "last counters could not be written" in caplog.text
    written.fails = False
    ask()
    counters.flush()
    totals = written.totals()
    assert totals["requests", "/recommend 200"] == 2
    assert totals["predictions_dropped", ""] == 2
