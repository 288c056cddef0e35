import numpy as np
import pandas as pd

from benchmarks.quality.peers.peer import Peer, baskets_of, best, counts_of, lists_by_score
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import EvaluationSet

VOCABULARY = Vocabulary(("a", "b", "c", "d"))  # indices 1 to 4
EVENTS = pd.DataFrame(
    {
        "user_id": ["u"] * 4,
        "item_id": ["b", "a", "b", "c"],
        "timestamp": pd.to_datetime(["2017-01-01"] * 2 + ["2017-01-02", "2017-01-09"], utc=True),
        "event_type": "purchase",
        "quantity": 1.0,
        "price": 1.0,
        "basket_id": ["1", "1", "2", "3"],
    }
)


def _questions() -> EvaluationSet:
    times = pd.Series(pd.to_datetime(["2017-01-05", "2017-01-05"], utc=True))
    requests = build_requests(build_histories(EVENTS, VOCABULARY), ["u", "stranger"], times)
    examples = pd.DataFrame({"user_id": ["u", "stranger"], "labels": [["a"], ["b"]]})
    return EvaluationSet.of(examples, requests, VOCABULARY)


def test_baskets_come_in_the_order_of_time_and_end_before_the_request():
    requests = _questions().requests
    assert [basket.tolist() for basket in baskets_of(requests, 0)] == [[1, 2], [2]]
    assert baskets_of(requests, 1) == []


def test_counts_are_baskets_that_hold_the_item():
    found = counts_of(_questions().requests, len(VOCABULARY)).toarray()
    assert found.tolist() == [[0, 1, 2, 0, 0], [0, 0, 0, 0, 0]]


def test_equal_scores_are_ordered_by_recency_then_popularity_then_id():
    popular = np.array([0.0, 1.0, 5.0, 2.0, 0.0])

    def score(requests):
        return np.tile([0.0, 1.0, 1.0, 1.0, 2.0], (len(requests), 1))

    every, new = lists_by_score(score, popular)(_questions(), 4)
    assert every[0].tolist() == [4, 2, 1, 3]  # b and a were bought in the latest two baskets
    assert new[0].tolist() == [4, 3, 0, 0]
    assert new[1].tolist() == [4, 2, 3, 1]


def test_a_short_list_is_filled_up_with_what_is_popular():
    popular = np.array([0.0, 1.0, 5.0, 2.0, 0.5])
    nothing = np.zeros((2, 4), dtype=np.int32)
    own = nothing.copy()
    own[:, 0] = 4
    peer = Peer(popular, lambda _questions, _k: (own, nothing))
    assert peer.answer(_questions(), 4).plain.items[0].tolist() == [4, 2, 3, 1]


def test_more_places_than_items_leaves_places_empty():
    assert best(np.array([[0.0, 2.0, 0.0]]), 5, np.zeros(3)).tolist() == [[1, 0, 0]]


def test_the_best_of_many_equal_scores_are_those_of_a_full_sort():
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, (20, 300)) * 1e6  # a term of 1e-9 of the largest would vanish
    popular = random.integers(0, 5, 300).astype(float)
    ago = random.integers(0, 6, (20, 300)).astype(np.int32)
    columns = np.arange(300)
    for row, found in enumerate(best(scores, 15, popular, ago)):
        order = np.lexsort((columns, -popular, ago[row], -scores[row]))
        assert found.tolist() == order[:15].tolist()
