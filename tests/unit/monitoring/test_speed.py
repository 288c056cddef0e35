"""A service with its own clock: fast, slow, or slowed by a busy machine."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from pipeline.monitoring import speed
from pipeline.monitoring.speed import Speed, measure_speed, read_speed
from pipeline.serving.client import ServiceError
from pipeline.serving.observability.metrics import SECONDS
from pipeline.serving.payloads import Event, RecommendAnswer, RecommendRequest

AGAIN = [RecommendRequest(user_id=f"u{n}") for n in range(100)]


class Clocked:
    """Counts as the endpoint does; each answer takes the next of `seconds`, then the last."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._registry = CollectorRegistry()
        self._histogram = Histogram(
            "evergreen_request_seconds", "s", ["route"], registry=self._registry, buckets=SECONDS
        )
        self._seconds = list(seconds)
        self.n_asked = 0

    def recommend(self, _request: RecommendRequest) -> RecommendAnswer:
        self.n_asked += 1
        taken = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self._histogram.labels(route="/recommend").observe(taken)
        return RecommendAnswer(request_id="r", model_version="v", items=[])

    def send(self, _events: Sequence[Event]) -> Any:
        self._histogram.labels(route="/events").observe(1.9)

    def metrics(self) -> str:
        return generate_latest(self._registry).decode()

    def replay(self, n: int) -> "Clocked":
        for _ in range(n):
            self.recommend(AGAIN[0])
        self.send([])
        return self


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PAUSE_SECONDS", 0.0)


def test_a_fast_replay_is_measured_once_and_other_routes_do_not_count() -> None:
    service = Clocked([0.008]).replay(200)
    speed = measure_speed(service, AGAIN, 40.0)
    assert (speed.n_looks, service.n_asked, sum(speed.counts)) == (1, 200, 200)
    assert 6.0 < speed.p99_ms <= 10.0


def test_a_service_slow_by_itself_is_slow_at_every_look() -> None:
    service = Clocked([0.08]).replay(200)
    assert measure_speed(service, AGAIN, 40.0).p99_ms > 40.0
    assert service.n_asked == 200 + speed.MAXIMUM_LOOKS * len(AGAIN)


def test_one_slow_answer_in_fifty_is_too_slow() -> None:
    service = Clocked([0.3 if n % 50 == 0 else 0.005 for n in range(2_000)]).replay(500)
    assert measure_speed(service, AGAIN, 40.0).p99_ms > 40.0


def test_one_slow_answer_in_five_hundred_is_within_the_99th_percentile() -> None:
    service = Clocked([0.3 if n % 500 == 0 else 0.005 for n in range(2_000)]).replay(1_000)
    assert measure_speed(service, AGAIN, 40.0).n_looks == 1


def test_a_machine_that_was_busy_is_looked_at_again() -> None:
    service = Clocked([0.2] * 250 + [0.008]).replay(200)
    speed = measure_speed(service, AGAIN, 40.0)
    assert speed.n_looks == 3
    assert speed.p99_ms <= 10.0


def test_a_look_in_which_requests_fail_is_still_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Clocked([0.08]).replay(10)
    answered = service.recommend

    def sometimes(request: RecommendRequest) -> RecommendAnswer:
        if request.user_id == "u3":
            raise ServiceError("An answer", received="none", action="Wait.")
        return answered(request)

    monkeypatch.setattr(service, "recommend", sometimes)
    speed = measure_speed(service, AGAIN, 40.0)
    assert speed.p99_ms > 40.0


def test_quantiles_are_those_of_prometheus() -> None:
    # 60 in (0, 10], 30 in (10, 20], 10 beyond: the 75th of 100 is half through the second bucket.
    speed = Speed((0.01, 0.02, float("inf")), (60, 30, 10))
    assert speed.quantile_ms(0.75) == pytest.approx(15.0)
    assert speed.quantile_ms(0.3) == pytest.approx(5.0)
    assert speed.p99_ms == float("inf")
    assert read_speed("").p99_ms == 0.0
