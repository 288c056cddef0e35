"""LightGBM's lambdarank on our features and our candidates: what each shopper bought before.

It sees the same numbers as the Keras ranker: the features and the ages of the last purchases, from
the same extractor, of the same examples. Rows are handed over in parts, so that half precision in
memory need not be doubled.

References:
    Ke et al., 2017, "LightGBM"; Burges, 2010, "From RankNet to LambdaRank to LambdaMART".
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.peers.peer import Lists, Peer, popularity_of
from pipeline.families.ranker.examples import Labels, OwnPairs, extractor, own_pairs
from pipeline.families.ranker.features import GROUPS, NAMES
from pipeline.families.ranker.fitting import training_pairs
from pipeline.families.ranker.graph import RankerGraph, code_counts, tables_of
from pipeline.params import FamiliesParams
from pipeline.recommenders.shop import Shop
from pipeline.testing.measure import Questions

N_TREES = 150
SETTINGS: dict[str, Any] = {
    "objective": "lambdarank",
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 200,
    "lambdarank_truncation_level": 30,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
PART = 100_000


def fit_boosting(
    shop: Shop, params: FamiliesParams, *, seed: int, without: tuple[str, ...] = ()
) -> Peer:
    """Return a ranker of what was bought before; other items come by popularity.

    Args:
        shop: What may be known.
        params: Of the families.
        seed: Of LightGBM.
        without: Groups of features that are left out.
    """
    graph = RankerGraph(
        tables_of(shop, shop.cutoff, params.popular_days), params.ranker, code_counts(shop), seed
    )
    hidden = {name for group in without for name in GROUPS[group]}
    columns = np.array([at for at, name in enumerate(NAMES) if name not in hidden])
    booster = train_booster(training_pairs(shop, graph, params), columns, seed)
    extract = extractor(graph, params.ranker.n_ages)

    def lists(questions: Questions, k: int) -> tuple[Lists, Lists]:
        labels = Labels.of(questions.examples, shop)
        asked = own_pairs(questions.requests, labels, extract)
        scores = [booster.predict(part) for part in _parts(asked, columns)]
        every = best_pairs(np.concatenate(scores), asked, k)
        popular = np.argsort(-popularity, kind="stable")[: 20 * k].astype(np.int32)
        return every, _not_own(popular, asked, k)

    popularity = popularity_of(shop, params.popular_days)
    return Peer(popularity, lists)


def train_booster(pairs: OwnPairs, columns: np.ndarray, seed: int) -> Any:
    """Return LightGBM fitted on these columns of the features, and on the ages."""
    import lightgbm

    pairs = useful(pairs)
    data = lightgbm.Dataset(
        _rows(pairs, columns),
        label=(pairs.wanted > 0).astype(np.float32),
        group=np.bincount(pairs.row, minlength=pairs.n),
        params={"verbose": -1},
    ).construct()
    del pairs
    return lightgbm.train({**SETTINGS, "seed": seed}, data, num_boost_round=N_TREES)


def useful(pairs: OwnPairs) -> OwnPairs:
    """Return the pairs of the requests that hold something wanted; without it there is no rank."""
    hits = np.bincount(pairs.row, weights=pairs.wanted > 0, minlength=pairs.n)
    return pairs.of_requests(hits > 0)


def best_pairs(scores: np.ndarray, pairs: OwnPairs, k: int) -> Lists:
    """Return [n, k] the items of each request by falling score, 0 where there are no more."""
    order = np.lexsort((-scores, pairs.row))
    row = pairs.row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(pairs.n))[row]
    top = rank < k
    found = np.zeros((pairs.n, k), dtype=np.int32)
    found[row[top], rank[top]] = pairs.item[order][top]
    return found


def _not_own(popular: Lists, pairs: OwnPairs, k: int) -> Lists:
    """Return [n, k] the most popular items that each request's shopper had not bought."""
    width = int(max(pairs.item.max(initial=0), popular.max(initial=0))) + 1
    own = pairs.row.astype(np.int64) * width + pairs.item
    asked = np.arange(pairs.n, dtype=np.int64)[:, None] * width + popular
    kept = ~np.isin(asked, own) & (popular > 0)
    place = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(kept, place, axis=1), popular[place], 0).astype(np.int32)


def _table(pairs: OwnPairs, lines: Any, columns: np.ndarray) -> np.ndarray:
    features = pairs.features[lines].astype(np.float64)
    ages = pairs.ages[lines].astype(np.float64)
    return np.concatenate([features[..., columns], ages], axis=-1)


def _parts(pairs: OwnPairs, columns: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(pairs.item), PART):
        yield _table(pairs, slice(start, start + PART), columns)


def _rows(pairs: OwnPairs, columns: np.ndarray) -> Any:
    """Return the rows in the form in which LightGBM asks for a few at a time."""
    import lightgbm

    class Rows(lightgbm.Sequence):
        batch_size = PART

        def __getitem__(self, lines: Any) -> np.ndarray:
            return _table(pairs, lines, columns)

        def __len__(self) -> int:
            return len(pairs.item)

    return Rows()
