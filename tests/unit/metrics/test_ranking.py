"""Metrics against fractions that were worked out by hand."""

import numpy as np
import pytest

from pipeline.metrics import ranking

NAN = float("nan")
RECOMMENDED = np.array([[5, 3, 9, 1], [2, 4, 0, 0], [7, 8, 6, 5]])
TRUTH_ROWS = np.array([0, 0, 0, 1, 1])
TRUTH_ITEMS = np.array([3, 1, 11, 4, 0])  # 0: an item that the model does not know
N_TRUE = np.array([3, 2, 0])
SECOND = 0.63092975  # 1 / log2(3)
FOURTH = 0.43067656  # 1 / log2(5)


@pytest.fixture
def hits() -> ranking.Bools:
    return ranking.hit_matrix(RECOMMENDED, TRUTH_ROWS, TRUTH_ITEMS)


def test_hits_are_the_wanted_items_of_the_same_request(hits: ranking.Bools) -> None:
    assert hits.tolist() == [
        [False, True, False, True],
        [False, True, False, False],
        [False, False, False, False],
    ]


def test_padding_never_hits_an_unknown_label() -> None:
    result = ranking.hit_matrix(np.array([[0, 0]]), np.array([0]), np.array([0]))
    assert not result.any()


def test_no_truth_at_all_hits_nothing() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert not ranking.hit_matrix(RECOMMENDED, nothing, nothing).any()


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [0, 0, NAN]), (2, [1 / 3, 1 / 2, NAN]), (4, [2 / 3, 1 / 2, NAN])]
)
def test_recall_is_found_over_wanted(hits: ranking.Bools, k: int, expected: list[float]) -> None:
    np.testing.assert_allclose(ranking.recall_at_k(hits, N_TRUE, k), expected)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [0.0, 0.0, NAN]),
        (2, [SECOND / (1 + SECOND), SECOND / (1 + SECOND), NAN]),
        (4, [(SECOND + FOURTH) / (1 + SECOND + 0.5), SECOND / (1 + SECOND), NAN]),
    ],
)
def test_ndcg_discounts_by_the_logarithm_of_the_rank(
    hits: ranking.Bools, k: int, expected: list[float]
) -> None:
    np.testing.assert_allclose(ranking.ndcg_at_k(hits, N_TRUE, k), expected, rtol=1e-7)


@pytest.mark.parametrize(("k", "expected"), [(1, [0, 0, NAN]), (2, [1, 1, NAN])])
def test_hit_rate_is_one_with_any_hit(hits: ranking.Bools, k: int, expected: list[float]) -> None:
    np.testing.assert_allclose(ranking.hit_rate_at_k(hits, N_TRUE, k), expected)


@pytest.mark.parametrize(("k", "expected"), [(1, [0, 0, NAN]), (4, [1 / 2, 1 / 2, NAN])])
def test_mrr_is_one_over_the_first_hit(hits: ranking.Bools, k: int, expected: list[float]) -> None:
    np.testing.assert_allclose(ranking.mrr_at_k(hits, N_TRUE, k), expected)


def test_a_k_beyond_the_list_counts_what_is_there(hits: ranking.Bools) -> None:
    np.testing.assert_allclose(ranking.recall_at_k(hits, N_TRUE, 10), [2 / 3, 1 / 2, NAN])
    np.testing.assert_allclose(ranking.hit_rate_at_k(hits, N_TRUE, 10), [1, 1, NAN])
    np.testing.assert_allclose(ranking.mrr_at_k(hits, N_TRUE, 10), [1 / 2, 1 / 2, NAN])
    expected = (SECOND + FOURTH) / (1 + SECOND + 0.5)
    np.testing.assert_allclose(ranking.ndcg_at_k(hits, N_TRUE, 10)[0], expected, rtol=1e-7)


def test_a_perfect_ranking_has_every_metric_at_one() -> None:
    hits = np.array([[True, True, False, False]])
    n_true = np.array([2])
    for metric in (ranking.recall_at_k, ranking.ndcg_at_k, ranking.hit_rate_at_k, ranking.mrr_at_k):
        assert metric(hits, n_true, 4).tolist() == [1.0]


def test_a_short_list_of_hits_has_full_ndcg_when_more_was_wanted() -> None:
    hits, n_true = np.array([[True, True]]), np.array([9])
    assert ranking.ndcg_at_k(hits, n_true, 2).tolist() == [1.0]
    np.testing.assert_allclose(ranking.recall_at_k(hits, n_true, 2), [2 / 9])


def test_metrics_leave_their_arguments_as_they_were(hits: ranking.Bools) -> None:
    before, counts = hits.copy(), N_TRUE.copy()
    for metric in (ranking.recall_at_k, ranking.ndcg_at_k, ranking.hit_rate_at_k, ranking.mrr_at_k):
        metric(hits, N_TRUE, 3)
    np.testing.assert_array_equal(hits, before)
    np.testing.assert_array_equal(counts, N_TRUE)
