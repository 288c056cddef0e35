"""Metrics of two hand-made answers."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Ranked, Recommendations
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import (
    EvaluationSet,
    Predictions,
    beyond_accuracy,
    compute_metrics,
    predict,
    summarise_values,
)

NAN = float("nan")
VOCABULARY = Vocabulary(("bread", "coffee", "jam", "milk", "tea"))
BREAD, COFFEE, JAM, MILK, TEA = range(1, 6)
SECOND = 0.63092975  # 1 / log2(3)


@pytest.fixture(scope="module")
def questions() -> EvaluationSet:
    """Ann bought milk and bread before; Bob nothing; Cid wants nothing."""
    moment = pd.Timestamp("2024-02-01T10:00Z")
    events = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "cid"],
            "item_id": ["milk", "bread", "tea"],
            "timestamp": [moment - pd.Timedelta(days=3)] * 3,
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 2.0,
            "basket_id": ["a", "a", "c"],
        }
    )
    examples = pd.DataFrame(
        {
            "user_id": ["ann", "bob", "cid"],
            "timestamp": [moment] * 3,
            "labels": [["milk", "tea", "caviar"], ["jam"], []],
        }
    )
    requests = build_requests(
        build_histories(events, VOCABULARY), ["ann", "bob", "cid"], examples["timestamp"]
    )
    return EvaluationSet.of(examples, requests, VOCABULARY)


def listed(*rows: list[int]) -> Recommendations:
    items = np.array(rows, dtype=np.int32)
    return Recommendations(items, np.zeros(items.shape, np.float32), np.zeros(items.shape, np.int8))


@pytest.fixture(scope="module")
def values(questions: EvaluationSet) -> dict[str, Any]:
    answers = Predictions(
        plain=listed([MILK, TEA], [BREAD, JAM], [TEA, 0]),
        served=listed([MILK, TEA], [BREAD, JAM], [TEA, 0]),
        explore_items=np.array([[TEA, JAM], [JAM, TEA], [JAM, MILK]]),
    )
    return compute_metrics(answers, questions, (1, 2))


def test_questions_tell_repeat_labels_from_new_ones(questions: EvaluationSet) -> None:
    assert questions.label_row.tolist() == [0, 0, 0, 1]
    assert questions.label_item.tolist() == [MILK, TEA, 0, JAM]
    assert questions.n_true.tolist() == [3, 1, 0]
    assert questions.is_repeat.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall@1", [1 / 3, 0, NAN]),
        ("recall@2", [2 / 3, 1, NAN]),
        ("ndcg@1", [1, 0, NAN]),
        ("ndcg@2", [1, SECOND, NAN]),
        ("hit_rate@1", [1, 0, NAN]),
        ("hit_rate@2", [1, 1, NAN]),
        ("mrr@1", [1, 0, NAN]),
        ("mrr@2", [1, 1 / 2, NAN]),
        ("repeat_recall@2", [1, NAN, NAN]),
        ("explore_recall@1", [0, 0, NAN]),
        ("explore_recall@2", [1 / 2, 1, NAN]),  # the unknown caviar was wanted, too
        ("explore_slots_recall@1", [1 / 2, 1, NAN]),
    ],
)
def test_metrics_are_the_fractions_worked_out_by_hand(
    values: dict[str, Any], name: str, expected: list[float]
) -> None:
    np.testing.assert_allclose(values[name], expected, rtol=1e-6)


def test_an_item_outside_the_vocabulary_is_never_a_repeat(questions: EvaluationSet) -> None:
    assert not questions.is_repeat[questions.label_item == 0].any()


class Counting:
    """A recommender that counts how often its graph runs."""

    name, vocabulary = "counting", VOCABULARY

    def __init__(self) -> None:
        self.asked: list[int] = []

    def rank(self, requests: Requests, k: int) -> Ranked:
        self.asked.append(k)
        rows = [[MILK, BREAD, 0], [TEA, JAM, COFFEE], [MILK, TEA, BREAD]]
        lists = [np.repeat([row], len(requests), axis=0).astype(np.int32) for row in rows]
        scores = np.zeros(lists[0].shape, dtype=np.float32)
        return Ranked(lists[0], scores, lists[1], scores, lists[2], scores)


def test_one_run_answers_plain_and_served_lists(questions: EvaluationSet) -> None:
    counting: Any = Counting()
    predictions = predict(counting, questions, k=2, served_k=3, explore_slots=1)
    assert counting.asked == [3]
    assert predictions.plain.items[0].tolist() == [MILK, BREAD]
    assert predictions.served.items[0].tolist() == [MILK, BREAD, TEA]
    assert predictions.explore_items[0].tolist() == [TEA, JAM, COFFEE]


def test_coverage_novelty_and_popularity_bias_by_hand() -> None:
    popularity = np.array([0.0, 6.0, 2.0, 0.0, 0.0])  # four items
    result = beyond_accuracy(np.array([[1, 2, 3], [1, 0, 0]]), popularity, 2)
    assert result["coverage@2"] == 2 / 4
    # smoothed shares 7/13 (twice) and 3/13
    assert result["novelty@2"] == pytest.approx(-(2 * np.log2(7 / 13) + np.log2(3 / 13)) / 3)
    # on average 14/3 purchases of what is shown, 40/8 of what is bought
    assert result["popularity_bias@2"] == pytest.approx((14 / 3) / 5)


def test_an_empty_list_covers_nothing() -> None:
    result = beyond_accuracy(np.zeros((2, 2), dtype=np.int32), np.array([0.0, 1.0]), 2)
    assert result == {"coverage@2": 0.0, "novelty@2": 0.0, "popularity_bias@2": 0.0}


def test_a_summary_leaves_out_what_does_not_apply() -> None:
    bootstrap = Bootstrap.of(np.array([0, 0, 1]), 100, 0.95, seed=1)
    summary = summarise_values({"a": np.array([1.0, NAN, 0.5]), "b": np.full(3, NAN)}, bootstrap)
    assert summary.values == {"a": 0.75, "b": None}
    assert summary.mean_over_users == {"a": 0.75}
    assert set(summary.interval) == {"a"}
    low, high = summary.interval["a"]
    assert 0.5 <= low <= 0.75 <= high <= 1.0
