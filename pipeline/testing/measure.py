"""Predictions of a candidate on an evaluation set, and their metrics per request."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.testing_report import MetricSummary
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap, mean_over_users
from pipeline.recommenders.base.recommender import Ranked, Recommendations, Recommender, fill_slots
from pipeline.recommenders.base.requests import Requests, withhold_context
from pipeline.recommenders.base.training_data import encode_labels, is_repeat_label
from pipeline.recommenders.base.vocabulary import Vocabulary

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EvaluationSet:
    """Requests for every candidate, and their labels.

    Attributes:
        examples: schemas.EXAMPLES.
        requests: One request per example.
        label_row: [n_labels] request of each label.
        label_item: [n_labels] item index, 0 for an item outside the vocabulary.
        n_true: [n] labels per request.
        is_repeat: [n_labels] whether the user had bought the item before.
    """

    examples: pd.DataFrame
    requests: Requests
    label_row: npt.NDArray[np.int32]
    label_item: npt.NDArray[np.int32]
    n_true: npt.NDArray[np.int64]
    is_repeat: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, examples: pd.DataFrame, requests: Requests, vocabulary: Vocabulary
    ) -> "EvaluationSet":
        """Return the evaluation set of these examples."""
        row, item = encode_labels(examples, vocabulary)
        is_repeat = is_repeat_label(requests, row, item, len(vocabulary))
        n_true = np.bincount(row, minlength=len(examples))
        return cls(examples, requests, row, item, n_true, is_repeat)

    def without_context(self) -> "EvaluationSet":
        """Return the same evaluation set without the hour, the weekday and the store."""
        return replace(self, requests=withhold_context(self.requests))


@dataclass(frozen=True)
class Predictions:
    """Predictions of a candidate: plain lists, served lists and explore lists."""

    plain: Recommendations
    served: Recommendations
    explore_items: npt.NDArray[np.int32]


def predict(
    recommender: Recommender,
    evaluation_set: EvaluationSet,
    *,
    k: int,
    served_k: int,
    explore_slots: int,
) -> Predictions:
    """Return the predictions of a candidate; the graph runs once."""
    ranked: Ranked = recommender.rank(evaluation_set.requests, max(k, served_k))
    return Predictions(
        plain=fill_slots(ranked, k, 0),
        served=fill_slots(ranked, served_k, explore_slots),
        explore_items=ranked.explore_items,
    )


def compute_metrics(
    predictions: Predictions, evaluation_set: EvaluationSet, cutoffs: tuple[int, ...]
) -> dict[str, Doubles]:
    """Return every metric by name, one value per request, NaN where it is undefined."""
    values: dict[str, Doubles] = {}
    row, item, n_true = evaluation_set.label_row, evaluation_set.label_item, evaluation_set.n_true
    hits = ranking.hit_matrix(predictions.plain.items, row, item)
    old, new = evaluation_set.is_repeat, ~evaluation_set.is_repeat
    parts = {"repeat": old, "explore": new}
    for k in cutoffs:
        values[f"recall@{k}"] = ranking.recall_at_k(hits, n_true, k)
        values[f"ndcg@{k}"] = ranking.ndcg_at_k(hits, n_true, k)
        values[f"hit_rate@{k}"] = ranking.hit_rate_at_k(hits, n_true, k)
        values[f"mrr@{k}"] = ranking.mrr_at_k(hits, n_true, k)
        for name, chosen in parts.items():
            part = ranking.hit_matrix(predictions.plain.items, row[chosen], item[chosen])
            count = np.bincount(row[chosen], minlength=len(n_true))
            values[f"{name}_recall@{k}"] = ranking.recall_at_k(part, count, k)
    explore_hits = ranking.hit_matrix(predictions.explore_items, row[new], item[new])
    k = cutoffs[0]
    values[f"explore_slots_recall@{k}"] = ranking.recall_at_k(
        explore_hits, np.bincount(row[new], minlength=len(n_true)), k
    )
    return values


def beyond_accuracy(items: npt.NDArray[np.int32], popularity: Doubles, k: int) -> dict[str, float]:
    """Return coverage, novelty and popularity bias of the recommendations.

    Args:
        items: [n, k] item index.
        popularity: [n_items] purchases in the training data.
        k: Length of the list.

    Returns:
        coverage: share of all items that appear in any list, 0..1.
        novelty: mean -log2 of an item's share of purchases, in bits; higher is less popular.
        popularity_bias: mean popularity of recommendations over that of purchases, 1 = equal.
    """
    shown = items[:, :k]
    shown = shown[shown > 0]
    share = (popularity + 1) / (popularity.sum() + len(popularity))
    bought = (popularity**2).sum() / max(popularity.sum(), 1.0)
    return {
        f"coverage@{k}": len(np.unique(shown)) / max(len(popularity) - 1, 1),
        f"novelty@{k}": float(-np.log2(share[shown]).mean()) if len(shown) else 0.0,
        f"popularity_bias@{k}": float(popularity[shown].mean() / max(bought, 1e-9))
        if len(shown)
        else 0.0,
    }


def summarise_values(
    values: Mapping[str, Doubles],
    bootstrap: Bootstrap,
    beyond: Mapping[str, float] = MappingProxyType({}),
) -> MetricSummary:
    """Return each metric's mean over requests, interval and mean over users.

    Args:
        values: [n] values of each metric, one per request.
        bootstrap: Bootstrap of the same requests.
        beyond: Metrics of all lists together, which have no interval.
    """
    known = {
        name: metric_values
        for name, metric_values in values.items()
        if not np.isnan(metric_values).all()
    }
    return MetricSummary(
        interval={name: bootstrap.interval(metric) for name, metric in known.items()},
        mean_over_users={
            name: mean_over_users(metric, bootstrap.user) for name, metric in known.items()
        },
        **{name: _mean(metric) for name, metric in values.items()},
        **beyond,
    )


def _mean(values: Doubles) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
