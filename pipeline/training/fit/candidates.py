"""Candidates: fitted families and frequency baselines as recommenders."""

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
from pipeline.recommenders.base.training_data import ExampleBatch, TrainingData, encode_labels
from pipeline.recommenders.baselines.frequency import build_baseline
from pipeline.recommenders.fitting.family import FittedFamily, validation_start
from pipeline.recommenders.names import BASELINES
from pipeline.recommenders.registry import get_family

K = 10


def fit_family(
    name: str,
    data: TrainingData,
    params: FamiliesParams,
    *,
    seed: int,
    epochs: Mapping[str, int] | None = None,
) -> tuple[FittedFamily, GraphRecommender]:
    """Return the family `name` fitted on `data.train`, stopped by `data.validation`.

    Args:
        name: Name of the family.
        data: Training data.
        params: Parameters of all families.
        seed: Seed of all random choices.
        epochs: Number of epochs of each part without validation.

    Raises:
        TrainingError: No family has this name, or its loss is not finite.
    """
    fitted = get_family(name).fit(data, params, seed=seed, epochs=epochs)
    settings = params.of(name).model_dump(mode="json")
    epochs_by_part = {part: fit.epochs for part, fit in fitted.fits.items()}
    description = _describe(name, data, settings) | {"epochs": epochs_by_part}
    return fitted, GraphRecommender(description, data.vocabulary, fitted.graph)


def build_baseline_recommender(
    name: str, data: TrainingData, params: BaselineParams
) -> GraphRecommender:
    """Return the baseline `name` at `data.cutoff`."""
    graph = build_baseline(name, data, params, data.cutoff)
    return GraphRecommender(_describe(name, data, params.model_dump()), data.vocabulary, graph)


def refit(
    description: Mapping[str, Any],
    data: TrainingData,
    families: FamiliesParams,
    baselines: BaselineParams,
    *,
    seed: int,
) -> GraphRecommender:
    """Return a candidate refitted on all of `data`.

    Args:
        description: `model.json` of the first fit, with the method and its epochs.
        data: Everything before `as_of`; `validation` is empty.
        families: Parameters of the first fit.
        baselines: Parameters of the first fit.
        seed: Seed of the first fit.

    Raises:
        TrainingError: No method has this name.
    """
    name = str(description["name"])
    if name in BASELINES:
        return build_baseline_recommender(name, data, baselines)
    if "epochs" not in description:
        raise TrainingError(
            f"a candidate among {', '.join(BASELINES)} or a fitted family",
            received=f"'{name}'",
            action="Run `uv run dvc repro training testing`.",
        )
    return fit_family(name, data, families, seed=seed, epochs=description["epochs"])[1]


def _describe(name: str, data: TrainingData, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "cutoff": pd.Timestamp(data.cutoff, unit="s", tz="UTC").isoformat(),
        "n_items": len(data.vocabulary),
        "settings": settings,
    }


def measure_quality(
    recommender: Recommender, data: TrainingData, batch: ExampleBatch
) -> dict[str, float]:
    """Return mean recall@10 and NDCG@10 of plain lists."""
    rows, items = encode_labels(batch.examples, data.vocabulary)
    n_true = batch.examples["labels"].map(len).to_numpy()
    recommendations = recommender.recommend(batch.requests, K)
    hits = ranking.hit_matrix(recommendations.items, rows, items)
    return {
        f"recall@{K}": float(np.nanmean(ranking.recall_at_k(hits, n_true, K))),
        f"ndcg@{K}": float(np.nanmean(ranking.ndcg_at_k(hits, n_true, K))),
    }


def measure_on_validation(
    name: str, fitted: GraphRecommender, data: TrainingData, params: FamiliesParams
) -> dict[str, float]:
    """Return a family's quality on rolling validation, with item state at the start of the window.

    The saved model holds the item state at the start of the test window. Here, as in early
    stopping, it uses the state at the start of the validation window.
    """
    graph = get_family(name).at(validation_start(data), fitted.module, data, params)
    return _on_validation(graph, data)


def measure_baselines(data: TrainingData, params: BaselineParams) -> dict[str, dict[str, float]]:
    """Return each baseline's quality on rolling validation, at the start of the window."""
    opens = validation_start(data)
    return {
        name: _on_validation(build_baseline(name, data, params, opens), data) for name in BASELINES
    }


def _on_validation(graph: RankingGraph, data: TrainingData) -> dict[str, float]:
    return measure_quality(
        GraphRecommender({"name": "validated"}, data.vocabulary, graph), data, data.rolling
    )
