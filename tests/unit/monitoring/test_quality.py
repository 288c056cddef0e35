import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.testing_report import MetricSummary
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.quality import (
    Expected,
    Quality,
    compute_metrics,
    measure_quality,
    read_expected,
)
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.training_data import is_repeat_label
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.reference import Reference


def questions(labels: list[list[int]]) -> EvaluationSet:
    row = np.repeat(np.arange(len(labels), dtype=np.int32), [len(basket) for basket in labels])
    item = np.array([basket for baskets in labels for basket in baskets], dtype=np.int32)
    n_true = np.array([len(basket) for basket in labels])
    requests = build_requests(NO_HISTORIES, [""] * len(labels), np.zeros(len(labels)))
    return EvaluationSet(
        pd.DataFrame(), requests, row, item, n_true, np.zeros(len(row), dtype=bool)
    )


def served(items: list[list[int]]) -> Recommendations:
    array = np.array(items, dtype=np.int32)
    return Recommendations(array, array.astype(np.float32), np.zeros(array.shape, dtype=np.int8))


EVENTS = pd.DataFrame(
    {
        "user_id": ["u", "u", "v"],
        "item_id": ["a", "c", "b"],
        "timestamp": pd.to_datetime(["2017-01-01", "2017-01-03", "2017-01-01"], utc=True),
        "event_type": "purchase",
        "quantity": 1.0,
        "price": 1.0,
        "basket_id": ["1", "2", "3"],
    }
)
VOCABULARY = Vocabulary(("a", "b", "c"))
NO_HISTORIES = build_histories(EVENTS.iloc[:0], VOCABULARY)


def test_metrics_of_the_served_list() -> None:
    # First: 1 of 4 bought is shown. Second: nothing is. Third: nothing was bought.
    measured = compute_metrics(
        served([[1, 2], [1, 2], [1, 2]]), questions([[1, 3, 4, 5], [3], []]), k=2
    )
    np.testing.assert_allclose(measured["recall@2"], [0.25, 0.0, np.nan])
    np.testing.assert_allclose(measured["hit_rate@2"], [1.0, 0.0, np.nan])


def test_a_request_without_an_answer_counts_as_nothing_found() -> None:
    measured = compute_metrics(served([[0, 0]]), questions([[1]]), k=2)
    assert measured["recall@2"].tolist() == [0.0]


def test_quality_of_some_requests_is_their_mean_beside_the_test_estimate() -> None:
    values = {"recall@2": np.array([0.2, 0.4, np.nan, 1.0])}
    bootstrap = Bootstrap.of(np.array([0, 1, 1, 2]), 100, 0.95, seed=1)
    chosen = np.array([True, True, True, False])
    promised = {"recall@2": Expected(0.5, 0.4, 0.6)}
    measured = measure_quality(values, bootstrap, promised, chosen)["recall@2"]
    assert measured.value == pytest.approx(0.3)
    assert (measured.reference, measured.n) == (0.5, 2)
    assert (measured.reference_low, measured.reference_high) == (0.4, 0.6)
    assert 0.2 - 1e-9 <= measured.low <= measured.value <= measured.high <= 0.4 + 1e-9


def test_a_week_without_labels_has_no_quality() -> None:
    bootstrap = Bootstrap.of(np.array([0]), 100, 0.95, seed=1)
    promised = {"recall@2": Expected(0.5, 0.4, 0.6)}
    assert measure_quality({"recall@2": np.array([np.nan])}, bootstrap, promised) == {}


@pytest.mark.parametrize(
    ("low", "high", "state"), [(0.19, 0.21, "kept"), (0.17, 0.19, "unsure"), (0.16, 0.179, "lost")]
)
def test_beside_an_estimate_without_error_quality_is_lost_when_its_upper_end_is(
    low: float, high: float, state: str
) -> None:
    quality = Quality((low + high) / 2, low, high, 0.2, 100, 0.2, 0.2)
    assert quality.state(0.1) == state


def test_the_errors_of_both_estimates_add_up_as_squares() -> None:
    # 0.15 - 0.9 * 0.2 = -0.03; up: sqrt(0.03² + 0.04²) = 0.05; down: sqrt(0.05² + 0.12²) = 0.13.
    quality = Quality(0.15, 0.10, 0.18, 0.2, 100, 0.2 - 0.04 / 0.9, 0.2 + 0.12 / 0.9)
    assert quality.difference(0.9) == pytest.approx((-0.03 - 0.13, -0.03 + 0.05))
    assert quality.state(0.1) == "unsure"


def test_just_at_what_may_be_lost_a_loss_is_called_as_often_as_the_confidence_says() -> None:
    """2.5 % of the time; without the error of the test estimate it was 7 %."""
    random = np.random.default_rng(9)
    error, n = 0.005, 4_000
    half = 1.96 * error
    now, then = random.normal(0.18, error, n), random.normal(0.2, error, n)
    pairs = list(zip(now, then, strict=True))
    both = [Quality(x, x - half, x + half, r, 9, r - half, r + half) for x, r in pairs]
    one = [Quality(x, x - half, x + half, r, 9, r, r) for x, r in pairs]
    lost, lost_before = (
        np.mean([quality.state(0.1) == "lost" for quality in baskets]) for baskets in (both, one)
    )
    assert 0.018 < lost < 0.033
    assert lost_before > 0.06


def test_a_loss_beyond_both_errors_is_called_every_time() -> None:
    random = np.random.default_rng(9)
    half = 1.96 * 0.005
    for x, r in zip(random.normal(0.14, 0.005, 200), random.normal(0.2, 0.005, 200), strict=True):
        assert Quality(x, x - half, x + half, r, 9, r - half, r + half).state(0.1) == "lost"


def test_the_test_estimate_is_brought_to_the_confidence_of_monitoring() -> None:
    quality = MetricSummary(
        interval={"recall@2": (0.4, 0.7)}, mean_over_users={"recall@2": 0.5}, **{"recall@2": 0.5}
    )
    testing = Reference.model_construct(confidence=0.95, quality=quality)
    same = read_expected(testing, 0.95)["recall@2"]
    assert (same.low, same.high) == pytest.approx((0.4, 0.7))
    # 1.2816 standard errors instead of 1.9600: 0.6539 of the width.
    narrower = read_expected(testing, 0.80)["recall@2"]
    assert (narrower.low, narrower.high) == pytest.approx((0.43461, 0.63078), abs=1e-4)


def test_own_purchases_are_those_before_the_request() -> None:
    histories = build_histories(EVENTS, VOCABULARY)
    at = pd.Series(pd.to_datetime(["2017-01-02", "2017-01-04", "2017-01-04"], utc=True))
    requests = build_requests(histories, ["u", "u", "v"], at)
    row = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
    item = np.array([1, 3, 3, 0, 2, 1], dtype=np.int32)
    own = is_repeat_label(requests, row, item, len(VOCABULARY))
    assert own.tolist() == [True, False, True, False, True, False]
