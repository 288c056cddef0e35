"""Collaborative filtering from the package `implicit`, on the counts of what each user bought.

A history in a request is longer than that at the cut-off under the rolling protocol. ALS computes
the user anew from it, item-kNN scores it as it is, BPR cannot: its users stay as of the cut-off.
BPR does not see how often an item was bought either, only whether.

References:
    Hu, Koren and Volinsky, 2008, doi:10.1109/ICDM.2008.22 (ALS).
    Rendle et al., 2009, arXiv:1205.2618 (BPR).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.quality.peers.peer import Lists, Peer, counts_of, popularity_of
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.testing.measure import EvaluationSet

SETTINGS: dict[str, dict[str, Any]] = {
    "implicit_als": {"factors": 128, "regularization": 0.1, "iterations": 15},
    "implicit_bpr": {"factors": 128, "learning_rate": 0.05, "iterations": 150},
    "implicit_item_knn": {"K": 100},
}
ALS_ALPHA = 10.0


def fit_matrix(name: str, shop: TrainingData, *, popular_days: int, seed: int) -> Peer:
    """Return the method `name` of SETTINGS fitted on all purchases before the cut-off."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "blas")  # implicit has threads of its own
    counts = counts_of(shop.histories, len(shop.vocabulary))
    settings = SETTINGS[name]
    model = _model(name, settings, seed)
    scale = ALS_ALPHA if name == "implicit_als" else 1.0
    model.fit(counts * scale, show_progress=False)
    lists = _lists(model, shop, scale, recalculate=name == "implicit_als")
    return Peer(popularity_of(shop, popular_days), lists)


def _model(name: str, settings: dict[str, Any], seed: int) -> Any:
    if name == "implicit_als":
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(**settings, random_state=seed)
    if name == "implicit_bpr":
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        return BayesianPersonalizedRanking(**settings, random_state=seed, num_threads=1)
    from implicit.nearest_neighbours import CosineRecommender

    return CosineRecommender(**settings)


def _lists(
    model: Any, shop: TrainingData, scale: float, *, recalculate: bool
) -> Callable[[EvaluationSet, int], tuple[Lists, Lists]]:
    def lists(questions: EvaluationSet, k: int) -> tuple[Lists, Lists]:
        counts = counts_of(questions.requests, len(shop.vocabulary)) * scale
        users = np.array([shop.histories.row(name) for name in questions.examples["user_id"]])
        found = []
        for leave_out_own in (False, True):
            items, _ = model.recommend(
                np.maximum(users, 0),
                counts,
                N=k,
                filter_already_liked_items=leave_out_own,
                recalculate_user=recalculate,
            )
            known = (users >= 0)[:, None] | recalculate
            found.append(np.where(known & (items > 0), items, 0).astype(np.int32))
        return found[0], found[1]

    return lists
