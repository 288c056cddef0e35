"""Candidates: a fitted family or a counting baseline, behind the one interface `Recommender`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import BaselineParams, FamiliesParams
from pipeline.metrics import ranking
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.shop import ExampleBatch, TrainingData, labels_of
from pipeline.recommenders.baselines.frequency import build_baseline
from pipeline.recommenders.fitting.family import FittedFamily, validation_opens
from pipeline.recommenders.names import BASELINES
from pipeline.recommenders.registry import family_of

K = 10


def fit_family(
    name: str,
    shop: TrainingData,
    params: FamiliesParams,
    *,
    seed: int,
    epochs: Mapping[str, int] | None = None,
) -> tuple[FittedFamily, GraphRecommender]:
    """Return the family `name` fitted on `shop.train`; it stops by `shop.validation`.

    Args:
        name: Which family.
        shop: What may be known.
        params: Of all families.
        seed: For everything random.
        epochs: How long to train each part, when there is no validation.

    Raises:
        TrainingError: There is no family of that name, or its loss is not finite.
    """
    fitted = family_of(name).fit(shop, params, seed=seed, epochs=epochs)
    settings = params.of(name).model_dump(mode="json")
    kept = {part: fit.epochs for part, fit in fitted.fits.items()}
    description = _describe(name, shop, settings) | {"epochs": kept}
    return fitted, GraphRecommender(description, shop.vocabulary, fitted.graph)


def build_counting(name: str, shop: TrainingData, params: BaselineParams) -> GraphRecommender:
    """Return the baseline `name` as of `shop.cutoff`."""
    graph = build_baseline(name, shop, params, shop.cutoff)
    return GraphRecommender(_describe(name, shop, params.model_dump()), shop.vocabulary, graph)


def refit(
    description: Mapping[str, Any],
    shop: TrainingData,
    families: FamiliesParams,
    baselines: BaselineParams,
    *,
    seed: int,
) -> GraphRecommender:
    """Return a candidate fitted again on all of `shop`.

    Args:
        description: `model.json` of the first fit: which method, and how long to train.
        shop: Everything before `as_of`; `validation` is empty.
        families: The same as in the first fit.
        baselines: The same.
        seed: The same.

    Raises:
        TrainingError: There is no method of that name.
    """
    name = str(description["name"])
    if name in BASELINES:
        return build_counting(name, shop, baselines)
    if "epochs" not in description:
        raise TrainingError(
            f"a candidate among {', '.join(BASELINES)} or a fitted family",
            received=f"'{name}'",
            action="Run `uv run dvc repro training testing`.",
        )
    return fit_family(name, shop, families, seed=seed, epochs=description["epochs"])[1]


def _describe(name: str, shop: TrainingData, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "cutoff": pd.Timestamp(shop.cutoff, unit="s", tz="UTC").isoformat(),
        "n_items": len(shop.vocabulary),
        "settings": settings,
    }


def quality(recommender: Recommender, shop: TrainingData, asked: ExampleBatch) -> dict[str, float]:
    """Return mean recall@10 and NDCG@10 of plain lists."""
    rows, items = labels_of(asked.examples, shop.vocabulary)
    n_true = asked.examples["labels"].map(len).to_numpy()
    found = recommender.recommend(asked.requests, K)
    hits = ranking.hit_matrix(found.items, rows, items)
    return {
        f"recall@{K}": float(np.nanmean(ranking.recall_at_k(hits, n_true, K))),
        f"ndcg@{K}": float(np.nanmean(ranking.ndcg_at_k(hits, n_true, K))),
    }


def quality_on_validation(
    name: str, fitted: GraphRecommender, shop: TrainingData, params: FamiliesParams
) -> dict[str, float]:
    """Return a family's quality on rolling validation, as it stood when that window opened.

    The model that is saved knows the item state up to the test window; here, as in its early
    stop, it knows what was known when the validation window opened.
    """
    graph = family_of(name).at(validation_opens(shop), fitted.module, shop, params)
    return _on_validation(graph, shop)


def baselines_on_validation(
    shop: TrainingData, params: BaselineParams
) -> dict[str, dict[str, float]]:
    """Return the quality of each baseline on rolling validation, as of when it opened."""
    opens = validation_opens(shop)
    return {
        name: _on_validation(build_baseline(name, shop, params, opens), shop) for name in BASELINES
    }


def _on_validation(graph: RankingGraph, shop: TrainingData) -> dict[str, float]:
    return quality(
        GraphRecommender({"name": "validated"}, shop.vocabulary, graph), shop, shop.rolling
    )
