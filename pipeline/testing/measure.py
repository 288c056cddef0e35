"""One candidate on one protocol: what it recommends, and how good that is, request by request."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap, mean_over_users
from pipeline.recommenders.base.recommender import Ranked, Recommendations, Recommender, fill_slots
from pipeline.recommenders.base.requests import Requests, withhold_context
from pipeline.recommenders.base.shop import is_own, labels_of
from pipeline.recommenders.base.vocabulary import Vocabulary

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EvaluationSet:
    """What is asked of every candidate, and what was then bought.

    Attributes:
        examples: schemas.EXAMPLES.
        requests: One per example.
        label_row: [n_labels] the request of each label.
        label_item: [n_labels] item index, 0 for an item that is not in the vocabulary.
        n_true: [n] labels per request.
        is_repeat: [n_labels] whether the user had bought it before.
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
        """Return the questions of these examples."""
        row, item = labels_of(examples, vocabulary)
        is_repeat = is_own(requests, row, item, len(vocabulary))
        n_true = np.bincount(row, minlength=len(examples))
        return cls(examples, requests, row, item, n_true, is_repeat)

    def without_context(self) -> "EvaluationSet":
        """Return the same questions with the hour, the weekday and the store withheld."""
        return replace(self, requests=withhold_context(self.requests))


@dataclass(frozen=True)
class Predictions:
    """What a candidate answered: a plain list, its explore list, and what would be served."""

    plain: Recommendations
    served: Recommendations
    explore_items: npt.NDArray[np.int32]


def answers_of(
    recommender: Recommender, questions: EvaluationSet, *, k: int, served_k: int, explore_slots: int
) -> Predictions:
    """Return the answers of a candidate; the graph runs once."""
    ranked: Ranked = recommender.rank(questions.requests, max(k, served_k))
    return Predictions(
        plain=fill_slots(ranked, k, 0),
        served=fill_slots(ranked, served_k, explore_slots),
        explore_items=ranked.explore_items,
    )


def values_of(
    answers: Predictions, questions: EvaluationSet, cutoffs: tuple[int, ...]
) -> dict[str, Doubles]:
    """Return every metric by name, one value per request, NaN where it does not apply."""
    found: dict[str, Doubles] = {}
    row, item, n_true = questions.label_row, questions.label_item, questions.n_true
    hits = ranking.hit_matrix(answers.plain.items, row, item)
    old, new = questions.is_repeat, ~questions.is_repeat
    parts = {"repeat": old, "explore": new}
    for k in cutoffs:
        found[f"recall@{k}"] = ranking.recall_at_k(hits, n_true, k)
        found[f"ndcg@{k}"] = ranking.ndcg_at_k(hits, n_true, k)
        found[f"hit_rate@{k}"] = ranking.hit_rate_at_k(hits, n_true, k)
        found[f"mrr@{k}"] = ranking.mrr_at_k(hits, n_true, k)
        for name, chosen in parts.items():
            part = ranking.hit_matrix(answers.plain.items, row[chosen], item[chosen])
            count = np.bincount(row[chosen], minlength=len(n_true))
            found[f"{name}_recall@{k}"] = ranking.recall_at_k(part, count, k)
    alone = ranking.hit_matrix(answers.explore_items, row[new], item[new])
    k = cutoffs[0]
    found[f"explore_slots_recall@{k}"] = ranking.recall_at_k(
        alone, np.bincount(row[new], minlength=len(n_true)), k
    )
    return found


def beyond_accuracy(items: npt.NDArray[np.int32], popularity: Doubles, k: int) -> dict[str, float]:
    """Return how much of the catalogue is shown, and how popular what is shown is.

    Args:
        items: [n, k] item index.
        popularity: [n_items] purchases in the training data.
        k: Length of the list.

    Returns:
        coverage: share of all items that reach anyone's list, in 0..1.
        novelty: mean -log2 of an item's share of purchases, in bits; higher is less known.
        popularity_bias: mean popularity shown over mean popularity bought, 1 = as bought.
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


def summary(values: dict[str, Doubles], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return the mean over requests of each metric, its interval, and the mean over users."""
    found: dict[str, Any] = {name: _mean(each) for name, each in values.items()}
    known = {name: each for name, each in values.items() if not np.isnan(each).all()}
    found["interval"] = {name: bootstrap.interval(each) for name, each in known.items()}
    found["mean_over_users"] = {
        name: mean_over_users(each, bootstrap.user) for name, each in known.items()
    }
    return found


def _mean(values: Doubles) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
