"""Transfer: slices, ways, and what a way leaves as it was."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.quality.transfer import (
    FRACTIONS,
    WAYS,
    Exam,
    fit_head,
    params_for,
    slice_of,
    summary,
)
from pipeline.contracts.params import FamiliesParams
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.ranker.explore import ExploreHead
from pipeline.recommenders.ranker.explore_fit import EXPLORE_VALIDATION
from pipeline.recommenders.ranker.transfer import (
    FINE_PACE,
    fit_vectors,
    set_item_vectors,
    variables_to_fit,
)
from tests.model import two_groups


@pytest.fixture(scope="module")
def shop() -> TrainingData:
    return two_groups.data()


@pytest.fixture(scope="module")
def params() -> FamiliesParams:
    small = {"embedding_dim": 8, "explore_catalogue": 12, "batch_size": 32, "explore_epochs": 1}
    return two_groups.params(ranker=small)


@pytest.fixture(scope="module")
def vectors(
    shop: TrainingData, params: FamiliesParams, tmp_path_factory: pytest.TempPathFactory
) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fit"))
        return fit_vectors(shop, params, seed=1)


def head_of(
    shop: TrainingData, params: FamiliesParams, vectors: np.ndarray, way: str
) -> ExploreHead:
    graph, _ = fit_head(shop, params_for(params, 1.0, way), vectors, seed=1)
    return graph.explore


def test_the_ways_are_those_of_the_product() -> None:
    assert WAYS == ("scratch", "frozen", "finetuned", "initialised")


def test_slices_are_nested_parts_of_the_shoppers(shop: TrainingData) -> None:
    parts = [set(slice_of(shop, fraction, 1).train["user_id"]) for fraction in FRACTIONS]
    assert [len(part) for part in parts] == [2, 5, 12, 48]
    assert parts[0] < parts[1] < parts[2] < parts[3]
    assert parts[1] != set(slice_of(shop, 0.1, 2).train["user_id"])


def test_every_way_learns_from_a_slice_alike(params: FamiliesParams) -> None:
    for fraction in FRACTIONS:
        found = [params_for(params, fraction, way).ranker for way in WAYS]
        assert len({each.model_copy(update={"item_vectors": "scratch"}) for each in found}) == 1


def test_what_stops_the_training_is_not_in_the_exam(shop: TrainingData) -> None:
    exam = Exam.of(shop)
    rolling = shop.validation
    assert len(rolling) < EXPLORE_VALIDATION  # then each example is looked at, and half is kept
    assert len(exam.requests) == len(rolling) // 2


@pytest.mark.slow
class TestAWay:
    def test_frozen_vectors_stay(
        self, shop: TrainingData, params: FamiliesParams, vectors: np.ndarray
    ) -> None:
        head = head_of(shop, params, vectors, "frozen")
        np.testing.assert_array_equal(head.vectors(tf.range(13)), vectors)
        assert not np.allclose(head.turn, np.eye(8))

    def test_fine_tuned_vectors_move_less_than_initialised_ones(
        self, shop: TrainingData, params: FamiliesParams, vectors: np.ndarray
    ) -> None:
        moved = {
            way: np.abs(head_of(shop, params, vectors, way).vectors(tf.range(13)) - vectors)[1:]
            for way in ("finetuned", "initialised")
        }
        assert 0 < moved["finetuned"].mean() < 0.5 * moved["initialised"].mean()

    def test_scratch_knows_nothing_of_them(
        self, shop: TrainingData, params: FamiliesParams, vectors: np.ndarray
    ) -> None:
        one, other = (head_of(shop, params, each, "scratch") for each in (vectors, -vectors))
        for name, variable in one.learned().items():
            np.testing.assert_array_equal(variable, other.learned()[name])
        np.testing.assert_array_equal(one.turn, np.eye(8))

    def test_what_it_starts_from_is_as_the_table_says(
        self, shop: TrainingData, params: FamiliesParams, vectors: np.ndarray
    ) -> None:
        head = head_of(shop, params, vectors, "scratch")
        set_item_vectors(head, vectors, "finetuned")
        assert float(head.pace) == pytest.approx(FINE_PACE)
        assert not head.items.numpy().any()
        assert any(variable is head.turn for variable in variables_to_fit(head, "finetuned"))
        assert not any(variable is head.turn for variable in variables_to_fit(head, "initialised"))

    def test_an_item_without_a_vector_keeps_its_random_start_when_initialised(
        self, shop: TrainingData, params: FamiliesParams, vectors: np.ndarray
    ) -> None:
        head = head_of(shop, params, vectors, "scratch")
        before, some = head.items.numpy(), vectors.copy()
        some[5] = 0.0
        set_item_vectors(head, some, "initialised")
        np.testing.assert_array_equal(head.items[5], before[5])
        np.testing.assert_array_equal(head.items[6], vectors[6])


def test_the_summary_is_the_mean_over_seeds_and_the_difference_to_scratch() -> None:
    recalls = {
        "scratch": [np.array([0.0, 0.5, np.nan]), np.array([0.0, 0.5, np.nan])],
        "frozen": [np.array([0.5, 1.0, np.nan]), np.array([0.0, 1.0, np.nan])],
    }
    bootstrap = Bootstrap.of(np.array([0, 1, 1]), 100, 0.95, 1)
    found = summary(recalls, bootstrap)
    assert found["frozen"]["mean"] == pytest.approx(0.625)
    assert found["frozen"]["paired"]["difference"] == pytest.approx(0.375)
    assert found["scratch"]["paired"]["difference"] == 0.0
