import numpy as np
import pandas as pd
import pytest

from pipeline.monitoring.quality import Quality, quality_of, values_of
from pipeline.recommenders.histories import build_histories
from pipeline.recommenders.recommender import Recommendations
from pipeline.recommenders.requests import build_requests
from pipeline.recommenders.shop import is_own
from pipeline.recommenders.vocabulary import Vocabulary
from pipeline.testing.measure import Questions
from pipeline.testing.statistics import Bootstrap


def questions(labels: list[list[int]]) -> Questions:
    row = np.repeat(np.arange(len(labels), dtype=np.int32), [len(each) for each in labels])
    item = np.array([each for some in labels for each in some], dtype=np.int32)
    n_true = np.array([len(each) for each in labels])
    requests = build_requests(NO_HISTORIES, [""] * len(labels), np.zeros(len(labels)))
    return Questions(pd.DataFrame(), requests, row, item, n_true, np.zeros(len(row), dtype=bool))


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
    found = values_of(served([[1, 2], [1, 2], [1, 2]]), questions([[1, 3, 4, 5], [3], []]), k=2)
    np.testing.assert_allclose(found["recall@2"], [0.25, 0.0, np.nan])
    np.testing.assert_allclose(found["hit_rate@2"], [1.0, 0.0, np.nan])


def test_a_request_without_an_answer_counts_as_nothing_found() -> None:
    found = values_of(served([[0, 0]]), questions([[1]]), k=2)
    assert found["recall@2"].tolist() == [0.0]


def test_quality_of_some_requests_is_their_mean_beside_the_test_estimate() -> None:
    values = {"recall@2": np.array([0.2, 0.4, np.nan, 1.0])}
    bootstrap = Bootstrap.of(np.array([0, 1, 1, 2]), 100, 0.95, seed=1)
    chosen = np.array([True, True, True, False])
    found = quality_of(values, bootstrap, {"recall@2": 0.5}, chosen)["recall@2"]
    assert found.value == pytest.approx(0.3)
    assert (found.reference, found.n) == (0.5, 2)
    assert 0.2 - 1e-9 <= found.low <= found.value <= found.high <= 0.4 + 1e-9


def test_a_week_without_labels_has_no_quality() -> None:
    bootstrap = Bootstrap.of(np.array([0]), 100, 0.95, seed=1)
    assert quality_of({"recall@2": np.array([np.nan])}, bootstrap, {"recall@2": 0.5}) == {}


@pytest.mark.parametrize(
    ("low", "high", "state"), [(0.19, 0.21, "kept"), (0.17, 0.19, "unsure"), (0.16, 0.179, "lost")]
)
def test_quality_is_lost_when_its_upper_end_is_below_what_may_be_lost(
    low: float, high: float, state: str
) -> None:
    assert Quality((low + high) / 2, low, high, 0.2, 100).state(0.1) == state


def test_own_purchases_are_those_before_the_request() -> None:
    histories = build_histories(EVENTS, VOCABULARY)
    at = pd.Series(pd.to_datetime(["2017-01-02", "2017-01-04", "2017-01-04"], utc=True))
    requests = build_requests(histories, ["u", "u", "v"], at)
    row = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
    item = np.array([1, 3, 3, 0, 2, 1], dtype=np.int32)
    own = is_own(requests, row, item, len(VOCABULARY))
    assert own.tolist() == [True, False, True, False, True, False]
