from pipeline.serving.security import rate_limit
from pipeline.serving.security.rate_limit import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_of_two_seconds_is_let_through_and_then_the_steady_rate() -> None:
    clock = Clock()
    limit = RateLimit(5, clock=clock)
    assert [limit.take("a") for _ in range(11)] == [0] * 10 + [1]
    clock.now = 1.0
    assert [limit.take("a") for _ in range(6)] == [0] * 5 + [1]


def test_a_refused_request_costs_nothing_and_gets_the_wait() -> None:
    clock = Clock()
    limit = RateLimit(0.25, clock=clock)
    assert limit.take("a") == 0
    assert [limit.take("a") for _ in range(3)] == [4, 4, 4]
    clock.now = 4.0
    assert limit.take("a") == 0


def test_callers_do_not_share() -> None:
    limit = RateLimit(0.5, clock=Clock())
    assert limit.take("a") == 0
    assert limit.take("a") > 0
    assert limit.take("b") == 0


def test_no_limit_is_no_limit_and_remembers_nobody() -> None:
    limit = RateLimit(0)
    assert not any(limit.take("a") for _ in range(1_000))
    assert not limit._buckets


def test_many_callers_do_not_fill_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(rate_limit, "MAXIMUM_CALLERS", 10)
    clock = Clock()
    limit = RateLimit(0.5, clock=clock)
    for number in range(100):
        limit.take(str(number))
    assert len(limit._buckets) == 10
    assert limit.take("99") > 0


def test_a_clock_that_stands_still_lets_nobody_in_twice() -> None:
    limit = RateLimit(1, clock=Clock())
    assert sum(limit.take("a") == 0 for _ in range(100)) == 2
