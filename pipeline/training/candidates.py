"""Every candidate by name, behind one interface: the Keras ranker and the classical baselines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline import ranking
from pipeline.errors import TrainingError
from pipeline.params import ShopParams, TrainingParams
from pipeline.training.baselines import BASELINES, build_baseline
from pipeline.training.fit import Fitted
from pipeline.training.ranker_fit import RankerFit, fit_ranker, with_state_of
from pipeline.training.recommender import Recommender
from pipeline.training.saved import GraphRecommender
from pipeline.training.shop import Shop, labels_of

RANKER = "ranker"
CANDIDATES = (RANKER, *BASELINES)


@dataclass(frozen=True)
class FittedCandidates:
    """All candidates, and how the ranker learned."""

    recommenders: dict[str, GraphRecommender]
    own: Fitted
    explore: Fitted


def fit_candidates(shop: Shop, params: TrainingParams, shop_params: ShopParams) -> FittedCandidates:
    """Return every candidate, fitted on `shop.train`; the ranker stops by `shop.validation`."""
    ranker = fit_ranker(shop, params, shop_params)
    found = {RANKER: _ranker(ranker, shop, params)}
    for name in BASELINES:
        graph = build_baseline(name, shop, params.baselines, shop.cutoff)
        settings = params.baselines.model_dump()
        found[name] = GraphRecommender(_describe(name, shop, settings), shop.vocabulary, graph)
    return FittedCandidates(found, ranker.own, ranker.explore)


def refit(
    name: str,
    shop: Shop,
    params: TrainingParams,
    shop_params: ShopParams,
    *,
    description: Mapping[str, Any],
) -> GraphRecommender:
    """Return the candidate `name` fitted again on all of `shop`.

    Args:
        name: Which candidate.
        shop: Everything before `as_of`; `validation` is empty.
        params: The same as in the first fit.
        shop_params: The same.
        description: `model.json` of the first fit; its `epochs` say how long to train.

    Raises:
        TrainingError: There is no candidate of that name.
    """
    if name == RANKER:
        epochs = description["epochs"]
        wanted = (int(epochs["network"]), int(epochs["explore"]))
        return _ranker(fit_ranker(shop, params, shop_params, epochs=wanted), shop, params)
    if name not in BASELINES:
        raise TrainingError(
            f"A candidate among {list(CANDIDATES)} was wanted",
            received=name,
            action="Run `dvc repro training testing`.",
        )
    graph = build_baseline(name, shop, params.baselines, shop.cutoff)
    settings = params.baselines.model_dump()
    return GraphRecommender(_describe(name, shop, settings), shop.vocabulary, graph)


def _ranker(fitted: RankerFit, shop: Shop, params: TrainingParams) -> GraphRecommender:
    description = _describe(RANKER, shop, params.ranker.model_dump(mode="json"))
    description["epochs"] = {"network": fitted.own.epochs, "explore": fitted.explore.epochs}
    return GraphRecommender(description, shop.vocabulary, fitted.graph)


def _describe(name: str, shop: Shop, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "cutoff": pd.Timestamp(shop.cutoff, unit="s", tz="UTC").isoformat(),
        "n_items": len(shop.vocabulary),
        "settings": settings,
    }


def quality(recommender: Recommender, shop: Shop, examples: pd.DataFrame) -> dict[str, float]:
    """Return mean recall@10 and NDCG@10 of plain lists on the examples."""
    rows, items = labels_of(examples, shop.vocabulary)
    n_true = examples["labels"].map(len).to_numpy()
    found = recommender.recommend(shop.requests(examples), 10)
    hits = ranking.hit_matrix(found.items, rows, items)
    return {
        "recall@10": float(np.nanmean(ranking.recall_at_k(hits, n_true, 10))),
        "ndcg@10": float(np.nanmean(ranking.ndcg_at_k(hits, n_true, 10))),
    }


def validation_quality(
    shop: Shop, params: TrainingParams, ranker: GraphRecommender
) -> dict[str, dict[str, float]]:
    """Return the quality of each candidate on rolling validation, as it stood when it opened.

    The ranker that is saved knows the item state up to the test window; here, as in its early
    stop, every candidate knows what was known when the validation window opened.
    """
    examples = shop.validation[shop.validation["protocol"] == "rolling"].reset_index(drop=True)
    opens = pd.Timestamp(examples["cutoff"].min()).timestamp()
    found = {RANKER: quality(_ranker_at(opens, shop, params, ranker), shop, examples)}
    for name in BASELINES:
        graph = build_baseline(name, shop, params.baselines, opens)
        found[name] = quality(
            GraphRecommender({"name": name}, shop.vocabulary, graph), shop, examples
        )
    return found


def _ranker_at(
    opens: float, shop: Shop, params: TrainingParams, ranker: GraphRecommender
) -> GraphRecommender:
    graph = with_state_of(opens, ranker.module, shop, params)
    return GraphRecommender(ranker.description, ranker.vocabulary, graph)
