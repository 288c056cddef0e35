"""The stop rule: what it stops, and how rarely it stops a canary that is no worse."""

import numpy as np
import pytest

from pipeline.serving.releases.sequential_test import (
    ANSWERS,
    ERRORS,
    HITS,
    N_BUCKETS,
    SECONDS,
    SequentialTest,
    bucket_of,
    hypergeometric_tail,
    interim_level,
)

VERSION = "0123456789ab"


def filled(n_canary: int = 100, **canary: float) -> SequentialTest:
    """Ten answers per bucket of 10 ms each, with three hits and no error; the canary's changed."""
    test = SequentialTest(n_canary)
    random = np.random.default_rng(5)
    test.sums[:, ANSWERS] = 10
    test.sums[:, SECONDS] = 0.1 * random.uniform(0.8, 1.2, N_BUCKETS)
    test.sums[:, HITS] = random.binomial(10, 0.3, N_BUCKETS)
    test.sums[:n_canary, SECONDS] *= canary.get("slowdown", 1.0)
    if "hit_rate" in canary:
        test.sums[:n_canary, HITS] = random.binomial(10, canary["hit_rate"], n_canary)
    test.sums[: int(canary.get("bad_buckets", 0)), ERRORS] = 1
    return test


def worse_metric(test: SequentialTest) -> str | None:
    deterioration = test.find_deterioration(0.01, maximum_slowdown=1.5)
    return None if deterioration is None else deterioration.metric


def test_equal_sides_go_on() -> None:
    assert worse_metric(filled()) is None


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        ({"bad_buckets": 5}, "errors"),
        ({"slowdown": 2.0}, "latency"),
        ({"hit_rate": 0.1}, "hits"),
    ],
)
def test_a_canary_that_is_worse_is_named_by_its_metric(
    change: dict[str, float], metric: str
) -> None:
    assert worse_metric(filled(**change)) == metric


def test_a_canary_may_be_slower_within_its_limit_and_better_without_limit() -> None:
    assert worse_metric(filled(slowdown=1.4)) is None
    assert worse_metric(filled(slowdown=0.1)) is None
    assert worse_metric(filled(hit_rate=0.9)) is None


def test_errors_on_both_sides_alike_do_not_stop_it() -> None:
    test = filled()
    test.sums[::10, ERRORS] = 1
    assert worse_metric(test) is None
    test.sums[:, ERRORS] = 1
    assert worse_metric(test) is None


def test_errors_that_nearly_all_users_see_still_show() -> None:
    test = filled()
    test.sums[:, ERRORS] = 1
    test.sums[:100, ERRORS] = 4
    assert worse_metric(test) == "errors"


def test_one_user_with_many_errors_is_one_piece_of_evidence() -> None:
    test = filled()
    test.sums[0, ERRORS] = 10
    assert worse_metric(test) is None


def test_few_users_are_no_evidence_about_a_mean() -> None:
    test = filled(slowdown=5.0)
    test.sums[19:100] = 0
    assert worse_metric(test) is None
    test.sums[19] = test.sums[18]
    assert worse_metric(test) == "latency"


def test_nothing_is_worse_before_both_sides_answered() -> None:
    test = filled(slowdown=5.0)
    test.sums[100:] = 0
    assert worse_metric(test) is None


def test_the_exact_tail_is_that_of_scipy() -> None:
    from scipy.stats import hypergeom

    for k, n_marked, n_drawn in ((0, 5, 10), (3, 5, 10), (2, 40, 50), (5, 5, 500)):
        ours = hypergeometric_tail(k, n=1000, n_marked=n_marked, n_drawn=n_drawn)
        assert ours == pytest.approx(hypergeom(1000, n_marked, n_drawn).sf(k - 1), rel=1e-9)


def test_a_user_stays_in_the_bucket_and_the_buckets_are_even() -> None:
    buckets = [bucket_of(VERSION, str(number)) for number in range(20_000)]
    assert buckets == [bucket_of(VERSION, str(number)) for number in range(20_000)]
    share = np.mean(np.array(buckets) < 50)
    assert share == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 20_000))
    other = [bucket_of("ba9876543210", str(number)) for number in range(20_000)]
    both = np.mean((np.array(buckets) < 100) & (np.array(other) < 100))
    assert both == pytest.approx(0.01, abs=4 * np.sqrt(0.01 * 0.99 / 20_000))


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_canary_that_is_no_worse_is_rarely_stopped_over_20_tests(share: float) -> None:
    """200 canaries equal to the champion, 20 interim tests each: at most 5 % stop, plus chance."""
    stopped = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        users = random.integers(0, N_BUCKETS, 2_000)
        active = random.gamma(0.5, 1.0, len(users))
        liking = random.beta(2.0, 6.0, len(users))
        test = SequentialTest(round(share * N_BUCKETS))
        for number in range(1, 21):
            requests = random.choice(len(users), 1_000, p=active / active.sum())
            bucket = users[requests]
            slow = 1 + 30 * (random.random(len(requests)) < 0.01)
            seconds = 0.005 * np.exp(random.normal(0.0, 0.5, len(requests))) * slow
            failed = random.random(len(requests)) < 0.001
            hit = random.random(len(requests)) < liking[requests]
            for column, value in (
                (ANSWERS, 1.0),
                (SECONDS, seconds),
                (ERRORS, failed),
                (HITS, hit),
            ):
                np.add.at(test.sums[:, column], bucket, value)
            if test.find_deterioration(interim_level(number, 0.05), maximum_slowdown=1.0):
                stopped += 1
                break
    assert stopped <= 20  # 10 expected at most; 20 is 3 standard deviations more
