"""The peers of the quality benchmark know the tiny shop's answer too.

`make test-peers` runs these in an environment that has them, in CI too.
"""

import numpy as np
import pytest

from benchmarks.quality.peers.peer import Peer, popularity_of
from pipeline.testing.measure import EvaluationSet, compute_metrics
from tests.model.conftest import World
from tests.support import tiny_shop

pytestmark = pytest.mark.peers

K = 6


@pytest.fixture(scope="module")
def evaluation_set(world: World) -> EvaluationSet:
    return EvaluationSet.of(world.test, world.requests, world.data.vocabulary)


def _share_of_habits(peer: Peer, evaluation_set: EvaluationSet, world: World) -> float:
    shown = peer.answer(evaluation_set, K).plain.items
    results = []
    for name, items in zip(world.test["user_id"], shown, strict=True):
        habits = {tiny_shop.item_id(n) for n in tiny_shop.habits(int(name.split("-")[1]))}
        results.append(len(habits & set(world.data.vocabulary.decode(items))) / tiny_shop.N_HABITS)
    return float(np.mean(results))


@pytest.mark.parametrize("name", ["cornac_tifu_knn", "cornac_up_cf", "cornac_gp_top"])
def test_basket_peers_find_the_habits(world, evaluation_set, name):
    pytest.importorskip("cornac")
    from benchmarks.quality.peers.baskets import fit_baskets

    peer = fit_baskets(name, world.data, popular_days=28)
    assert _share_of_habits(peer, evaluation_set, world) > 0.8


@pytest.mark.filterwarnings("ignore:Method expects CSR")  # implicit 0.7 warns of itself
@pytest.mark.parametrize(
    ("name", "at_least"),
    [("implicit_als", 0.5), ("implicit_bpr", 0.15), ("implicit_item_knn", 0.5)],
)  # BPR sees whether, not how often: six habits among some twenty products; chance is 0.1
def test_matrix_peers_find_the_habits(world, evaluation_set, name, at_least):
    pytest.importorskip("implicit")
    from benchmarks.quality.peers.matrix import fit_matrix

    peer = fit_matrix(name, world.data, popular_days=28, seed=1)
    assert _share_of_habits(peer, evaluation_set, world) > at_least


def test_boosting_finds_the_habits_and_explores_what_is_new(world, evaluation_set):
    pytest.importorskip("lightgbm")
    from benchmarks.quality.peers.boosting import fit_boosting

    peer = fit_boosting(world.data, world.params.families, seed=1)
    assert _share_of_habits(peer, evaluation_set, world) > 0.8
    answers = peer.answer(evaluation_set, K)
    requests = evaluation_set.requests
    own = {
        (row, item)
        for row in range(len(requests))
        for item in requests.part(row, row + 1).item.tolist()
    }
    shown = {
        (row, item) for row, items in enumerate(answers.explore_items.tolist()) for item in items
    }
    assert not own & shown
    assert compute_metrics(answers, evaluation_set, (K,))["recall@6"].mean() > 0.5


def test_tifu_knn_scores_equal_a_dense_calculation(world, evaluation_set):
    pytest.importorskip("cornac")
    from benchmarks.quality.peers import baskets

    data, index_of = baskets._dataset(world.data)
    score = baskets._tifu_knn(data, {**baskets.SETTINGS["cornac_tifu_knn"], "n_neighbors": 5})
    from cornac.models import TIFUKNN

    model = TIFUKNN(**baskets.SETTINGS["cornac_tifu_knn"])
    model.train_set = data
    model.num_users, model.num_items = data.num_users, data.num_items
    model.uid_map, model.iid_map = data.uid_map, data.iid_map
    users = np.stack(
        [model._compute_user_vector(baskets) for _, _, [baskets] in data.ubi_iter(batch_size=1)]
    )
    history = [[0, 1], [1, 2], [3]]
    own = model._compute_user_vector(history)
    nearest = np.argsort(((users - own) ** 2).sum(axis=1))[:5]
    wanted = 0.7 * own + 0.3 * users[nearest].mean(axis=0)
    np.testing.assert_allclose(score([history])[0], wanted, rtol=1e-5, atol=1e-6)
    assert len(index_of) == data.num_items


def test_up_cf_scores_equal_a_dense_calculation(world):
    pytest.importorskip("cornac")
    from benchmarks.quality.peers import baskets

    data, _ = baskets._dataset(world.data)
    settings = {"recency": 2, "locality": 3, "asymmetry": 0.25}
    score = baskets._up_cf(data, settings)
    history = [[0, 1], [1, 2], [1, 3]]
    n_items = data.num_items
    counts = np.zeros((data.num_users, n_items))
    recent = np.zeros((data.num_users, n_items))
    for user, [_], [bought] in ((u, b, i) for [u], b, i in data.ubi_iter(batch_size=1)):
        for basket in bought:
            counts[user, basket] += 1
        for basket in bought[-2:]:
            recent[user, basket] += 1 / 2
    own, own_recent = np.zeros(n_items), np.zeros(n_items)
    own[[0, 1, 2, 3]] = 1
    own_recent[[1, 2, 3]] = [1, 0.5, 0.5]
    below = (own @ own) ** 0.25 * (counts**2).sum(axis=1) ** 0.75
    alike = (counts @ own) / below
    wanted = alike**3 @ recent + own_recent
    np.testing.assert_allclose(score([history])[0], wanted, rtol=1e-4)


def test_popularity_is_known_of_every_item(world):
    popular = popularity_of(world.data, 28)
    assert len(popular) == len(world.data.vocabulary)
    assert popular[0] == 0
    assert (popular[1:] > 0).all()
