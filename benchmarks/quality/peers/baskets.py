"""Next-basket methods from the package `cornac`, asked through their own vectors and scores.

Two of them do not run, or not as published, in the version measured here. Both are mended in a
subclass, so that what we compare with is the method and not its fault:

- TIFU-KNN 3.0.1 averages its neighbours over users *and* items: a constant, so that neighbours
  move nothing. Here the mean is over users. It also leaves out each user's last basket when it
  is fitted; here it does not. Neighbours are found by a matrix product instead of a k-d tree in
  as many dimensions as there are items, which is exact too.
- UP-CF 3.0.1 hands a one-dimensional array to similaripy, which ends the process. Here many
  requests are scored at once, which yields the same scores.

References:
    Hu, He, Gao and Zhang, 2020, arXiv:2006.00556 (TIFU-KNN).
    Faggioli, Polato and Aiolli, 2020, doi:10.1145/3340631.3394850 (UP-CF).
    Li et al., 2023, doi:10.1145/3587153 (GP-TopFreq).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.quality.peers.peer import Doubles, Peer, baskets_of, lists_by_score, popularity_of
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.training_data import TrainingData

SETTINGS: dict[str, dict[str, Any]] = {
    "cornac_tifu_knn": {
        "n_neighbors": 100,
        "within_decay_rate": 1.0,
        "group_decay_rate": 0.8,
        "alpha": 0.7,
        "n_groups": 7,
    },
    "cornac_up_cf": {"recency": 25, "locality": 5, "asymmetry": 0.25},
    "cornac_gp_top": {},
}
NEIGHBOURS_KEPT = 100  # similaripy keeps that many per request, and so does cornac's UP-CF


def fit_baskets(name: str, shop: TrainingData, *, popular_days: int) -> Peer:
    """Return the method `name` of SETTINGS fitted on all baskets before the cut-off."""
    data, index_of = _dataset(shop)
    scores = {"cornac_tifu_knn": _tifu_knn, "cornac_up_cf": _up_cf, "cornac_gp_top": _gp_top}
    score = scores[name](data, SETTINGS[name])
    codes = np.full(len(shop.vocabulary), -1)
    codes[index_of] = np.arange(len(index_of))

    def in_our_indices(requests: Requests) -> Doubles:
        found = np.zeros((len(requests), len(shop.vocabulary)))
        histories = [
            [codes[basket] for basket in baskets_of(requests, row)] for row in range(len(requests))
        ]
        found[:, index_of] = score(histories)
        return found

    popular = popularity_of(shop, popular_days)
    return Peer(popular, lists_by_score(in_our_indices, popular))


def _dataset(shop: TrainingData) -> tuple[Any, np.ndarray]:
    """Return cornac's data set, and our index of each of its items."""
    from cornac.data import BasketDataset

    histories = shop.histories
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))
    order = np.lexsort((histories.item, histories.basket, user))
    rows = [
        (u, (u, b), i)
        for u, b, i in zip(
            user[order].tolist(),
            histories.basket[order].tolist(),
            histories.item[order].tolist(),
            strict=True,
        )
    ]
    data = BasketDataset.build(rows, fmt="UBI")
    return data, np.array(list(data.iid_map), dtype=np.int64)


Score = Callable[[list[list[Any]]], Doubles]


def _gp_top(data: Any, settings: dict[str, Any]) -> Score:
    from cornac.models import GPTop

    model = GPTop(**settings).fit(data)
    return lambda histories: np.stack([model.score(0, history) for history in histories])


def _tifu_knn(data: Any, settings: dict[str, Any]) -> Score:
    from cornac.models import TIFUKNN
    from cornac.models.recommender import NextBasketRecommender

    model = TIFUKNN(**settings)
    NextBasketRecommender.fit(model, train_set=data)
    users = sparse.csr_matrix(
        sparse.vstack(
            [
                sparse.csr_matrix(model._compute_user_vector(baskets))  # noqa: SLF001
                for _, _, [baskets] in data.ubi_iter(batch_size=1, shuffle=False)
            ]
        )
    )
    norms = np.asarray(users.multiply(users).sum(axis=1)).ravel()
    k = min(model.n_neighbors, users.shape[0])

    def score(histories: list[list[Any]]) -> Doubles:
        own = np.stack([model._compute_user_vector(history) for history in histories])  # noqa: SLF001
        distance = norms - 2.0 * np.asarray(users @ own.T).T
        nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
        chosen = sparse.csr_matrix(
            (np.full(nearest.size, 1.0 / k), nearest.ravel(), np.arange(len(own) + 1) * k),
            shape=(len(own), users.shape[0]),
        )
        of_neighbours = (chosen @ users).toarray()
        return np.asarray(model.alpha * own + (1 - model.alpha) * of_neighbours)

    return score


def _up_cf(data: Any, settings: dict[str, Any]) -> Score:
    import similaripy
    from cornac.models import UPCF

    model = UPCF(**settings).fit(data)
    users = sparse.csr_matrix(model.user_item_matrix.T)

    def score(histories: list[list[Any]]) -> Doubles:
        bought = sparse.lil_matrix((len(histories), model.total_items), dtype=np.float32)
        for row, history in enumerate(histories):
            bought[row, np.unique(np.concatenate([[], *history]).astype(int))] = 1.0
        own = sparse.vstack([model._get_user_wise_popularity(history) for history in histories])  # noqa: SLF001
        alike = similaripy.asymmetric_cosine(
            sparse.csr_matrix(bought),
            users,
            alpha=model.asymmetry,
            k=NEIGHBOURS_KEPT - 1,  # the user is the nearest of its own neighbours
            verbose=False,
        )
        others = sparse.csr_matrix(alike).power(model.locality) @ model.user_wise_popularity
        return np.asarray((others + own).toarray(), dtype=np.float64)

    return score
