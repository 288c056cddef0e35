"""LightGBM on the inputs of the Keras ranker: what each shopper bought before, ranked by trees.

It sees the same numbers from the same extractor, of the same examples: the features, the ages of
the last purchases, and the product type as a categorical feature, where the network has an
embedding. It ranks what the network ranks, the N_STRONGEST products of a shopper's history. Its
settings, how long its training lists are among them, come from a search of its own on validation
(`boosting_search`). Rows wait on disk and are handed over in parts, so that memory holds them once.

References:
    Ke et al., 2017, "LightGBM"; Burges, 2010, "From RankNet to LambdaRank to LambdaMART".
    Bruch et al., 2019, arXiv:1911.09798 (rank_xendcg).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.quality.peers.peer import Lists, Peer, popularity_of
from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    build_extractor,
    build_repeat_pairs,
)
from pipeline.recommenders.ranker.features import GROUPS, N_STRONGEST, NAMES, RANK
from pipeline.recommenders.ranker.fitting import build_window_pairs
from pipeline.recommenders.ranker.graph import RankerGraph, build_item_tables, code_counts
from pipeline.testing.measure import EvaluationSet

LIST_LENGTH: int | None = 60  # strongest products in a training list; None for all
N_TREES = 200
SETTINGS: dict[str, Any] = {  # rounded from trial 22 of boosting_search: docs/experiments.md
    "objective": "rank_xendcg",
    "learning_rate": 0.05,
    "num_leaves": 82,
    "min_data_in_leaf": 460,
    "lambda_l2": 0.73,
    "feature_fraction": 0.45,
    "cat_smooth": 1.5,
}
INPUTS = "features, ages of the last purchases, product type: as the network"
FIXED: dict[str, Any] = {"deterministic": True, "force_row_wise": True, "verbose": -1}
PART = 100_000
PER_PAIR = ("features", "ages", "kind", "item", "row", "wanted")


def fit_boosting(
    shop: TrainingData, params: FamiliesParams, *, seed: int, without: tuple[str, ...] = ()
) -> Peer:
    """Return a ranker of what was bought before; other items come by popularity.

    Args:
        shop: What may be known.
        params: Of the families.
        seed: Of LightGBM.
        without: Groups of features that are left out.
    """
    graph, columns = graph_of(shop, params, seed), columns_without(without)
    with TemporaryDirectory() as folder:
        pairs = [
            spilled(useful(window), Path(folder) / f"{at}")
            for at, window in enumerate(build_window_pairs(shop, graph, params, LIST_LENGTH))
        ]
        booster = train_booster(pairs, columns, seed)
    extract = build_extractor(graph, params.ranker.n_ages)

    def lists(questions: EvaluationSet, k: int) -> tuple[Lists, Lists]:
        labels = Labels.of(questions.examples, shop)
        asked = build_repeat_pairs(questions.requests, labels, extract, N_STRONGEST)
        scores = [booster.predict(part) for part in _parts(asked, columns)]
        ties = ties_of(asked, questions.requests, popularity)
        every = best_pairs(np.concatenate(scores), asked, k, ties)
        popular = np.argsort(-popularity, kind="stable")[: 20 * k].astype(np.int32)
        return every, _not_own(popular, questions.requests, k)

    popularity = popularity_of(shop, params.popular_days)
    return Peer(popularity, lists)


def graph_of(shop: TrainingData, params: FamiliesParams, seed: int) -> RankerGraph:
    """Return the ranker's graph at the shop's cut-off, which computes the features."""
    tables = build_item_tables(shop, shop.cutoff, params.popular_days)
    return RankerGraph(tables, params.ranker, code_counts(shop), seed)


def columns_without(groups: Sequence[str]) -> np.ndarray:
    """Return the columns of the features that are in none of these groups."""
    hidden = {name for group in groups for name in GROUPS[group]}
    return np.array([at for at, name in enumerate(NAMES) if name not in hidden])


def train_booster(pairs: Sequence[RepeatPairs], columns: np.ndarray, seed: int) -> Any:
    """Return LightGBM fitted on these columns of the features, on the ages and on the types."""
    import lightgbm

    settings = {**FIXED, **SETTINGS, "seed": seed}
    return lightgbm.train(settings, dataset(pairs, columns), num_boost_round=N_TREES)


def dataset(pairs: Sequence[RepeatPairs], columns: np.ndarray, reference: Any = None) -> Any:
    """Return the pairs, which lie behind each other, binned as LightGBM wants them.

    Args:
        pairs: By window.
        columns: Of the features.
        reference: A data set whose bins are used; None for bins of its own.
    """
    import lightgbm

    return lightgbm.Dataset(
        [_rows(part, columns) for part in pairs],
        label=np.concatenate([part.wanted > 0 for part in pairs]).astype(np.float32),
        group=np.concatenate([np.bincount(part.row, minlength=part.n) for part in pairs]),
        reference=reference,
        categorical_feature=[_kind_column(pairs[0], columns)],
        params={"verbose": -1},
    ).construct()


def strongest(pairs: RepeatPairs, length: int) -> RepeatPairs:
    """Return the `length` strongest candidates of each request."""
    mine = np.expm1(pairs.features[:, RANK].astype(np.float32)) < length
    kept = {name: getattr(pairs, name)[mine] for name in PER_PAIR}
    return replace(pairs, **kept)


def useful(pairs: RepeatPairs) -> RepeatPairs:
    """Return the pairs of the requests that hold something wanted; without it there is no rank."""
    hits = np.bincount(pairs.row, weights=pairs.wanted > 0, minlength=pairs.n)
    return pairs.of_requests(hits > 0)


def spilled(pairs: RepeatPairs, folder: Path) -> RepeatPairs:
    """Return the same pairs with their features and ages in files of a new folder."""
    folder.mkdir()
    kept = {}
    for name in ("features", "ages"):
        np.save(folder / f"{name}.npy", getattr(pairs, name))
        kept[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return replace(pairs, **kept)


def best_pairs(scores: np.ndarray, pairs: RepeatPairs, k: int, ties: np.ndarray) -> Lists:
    """Return [n, k] the items of each request by falling score, 0 where there are no more.

    Among equal scores, which trees have many of, the lowest of `ties` [n_pairs] comes first.
    """
    order = np.lexsort((ties, -scores, pairs.row))
    row = pairs.row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(pairs.n))[row]
    top = rank < k
    found = np.zeros((pairs.n, k), dtype=np.int32)
    found[row[top], rank[top]] = pairs.item[order][top]
    return found


def ties_of(pairs: RepeatPairs, requests: Requests, popularity: np.ndarray) -> np.ndarray:
    """Return [n_pairs] what comes first among equals: recent, then popular, then by id."""
    n_items = len(popularity)
    line_row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    lines = line_row * n_items + requests.item  # ascending; an item's latest purchase comes first
    first = np.searchsorted(lines, pairs.row.astype(np.int64) * n_items + pairs.item)
    place = np.empty(n_items, dtype=np.int64)
    place[np.lexsort((np.arange(n_items), -popularity))] = np.arange(n_items)
    return np.asarray(requests.baskets_ago[first] * np.int64(n_items) + place[pairs.item])


def _not_own(popular: Lists, requests: Requests, k: int) -> Lists:
    """Return [n, k] the most popular items that each request's shopper had not bought."""
    width = int(max(requests.item.max(initial=0), popular.max(initial=0))) + 1
    own = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits)) * width + requests.item
    asked = np.arange(len(requests), dtype=np.int64)[:, None] * width + popular
    kept = ~np.isin(asked, own) & (popular > 0)
    place = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(kept, place, axis=1), popular[place], 0).astype(np.int32)


def _kind_column(pairs: RepeatPairs, columns: np.ndarray) -> int:
    """Return which column of a row is the product type: the last."""
    return len(columns) + int(pairs.ages.shape[1])


def _table(pairs: RepeatPairs, lines: Any, columns: np.ndarray) -> np.ndarray:
    features = pairs.features[lines].astype(np.float64)
    ages = pairs.ages[lines].astype(np.float64)
    kind = pairs.kind[lines][..., np.newaxis].astype(np.float64)
    return np.concatenate([features[..., columns], ages, kind], axis=-1)


def _parts(pairs: RepeatPairs, columns: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(pairs.item), PART):
        yield _table(pairs, slice(start, start + PART), columns)


def _rows(pairs: RepeatPairs, columns: np.ndarray) -> Any:
    """Return the rows in the form in which LightGBM asks for a few at a time."""
    import lightgbm

    class Rows(lightgbm.Sequence):
        batch_size = PART

        def __getitem__(self, lines: Any) -> np.ndarray:
            return _table(pairs, lines, columns)

        def __len__(self) -> int:
            return len(pairs.item)

    return Rows()
