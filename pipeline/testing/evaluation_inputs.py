"""Evaluation inputs of the diagnosis: training requests and unseen requests.

The candidates run through their saved graphs, as in serving. Requests of the last training window
use the item state of that window, which the model was trained with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import ShopParams
from pipeline.metrics import ranking
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.items import compute_item_state
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.training_data import build_example_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.comparison import Protocol
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap, WindowQuality
from pipeline.testing.diagnosis.label_noise import ScoredCandidates
from pipeline.testing.measure import EvaluationSet

METRIC, K = "ndcg@10", 10


@dataclass(frozen=True)
class EvaluationTables:
    """Tables that requests are built from.

    Attributes:
        shop: Parameters of the shop.
        events: schemas.EVENTS before the end of the test window.
        items: schemas.ITEMS.
        attributes: Codes of the users' attributes.
        train: schemas.EXAMPLES of the training windows.
        validation: schemas.EXAMPLES of the validation window.
    """

    shop: ShopParams
    events: pd.DataFrame
    items: pd.DataFrame
    attributes: pd.DataFrame
    train: pd.DataFrame
    validation: pd.DataFrame

    def build_evaluation_set(
        self, examples: pd.DataFrame, histories: Histories, vocabulary: Vocabulary
    ) -> EvaluationSet:
        """Return the evaluation set of the examples."""
        zone = self.shop.timezone
        requests = build_example_requests(examples, histories, vocabulary, self.attributes, zone)
        return EvaluationSet.of(examples, requests, vocabulary)


def draw_sample(examples: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Return a random sample of `n` examples, or all if there are fewer, in their order."""
    if len(examples) <= n:
        return examples.reset_index(drop=True)
    chosen = np.random.default_rng(seed).choice(len(examples), n, replace=False)
    return examples.iloc[np.sort(chosen)].reset_index(drop=True)


def select_rolling(examples: pd.DataFrame) -> pd.DataFrame:
    """Return the examples of the rolling protocol."""
    return examples[examples["protocol"] == "rolling"]


def measure_gap(
    pair: dict[str, GraphRecommender],
    rolling: Protocol,
    tables: EvaluationTables,
    histories: Histories,
    n_requests: int,
) -> GeneralizationGap:
    """Return the quality of two methods on the last training window and on the test window.

    Both windows hold comparable requests: rolling training examples without a cart, and test
    requests with at least the shortest training history.

    Args:
        pair: The deep candidate, then the baseline, by name.
        rolling: Their results on the test window.
        tables: Tables that requests are built from.
        histories: All purchases up to the end of the test window.
        n_requests: Sample size of the training window.
    """
    (model, _), train = pair.values(), select_rolling(tables.train)
    last = train[train["cutoff"] == train["cutoff"].max()]
    part = draw_sample(last[last["cart"].map(len) == 0], n_requests, tables.shop.seed)
    learned = tables.build_evaluation_set(part, histories, model.vocabulary)
    with as_of(model, histories, float(part["cutoff"].iloc[0].timestamp())):
        values = [measure_quality(method, learned) for method in pair.values()]
    test = rolling.evaluation_set.examples
    alike = (test["n_earlier_baskets"] >= train["n_earlier_baskets"].min()).to_numpy()
    users = pd.Index(pd.unique(pd.concat([part["user_id"], test["user_id"]])))
    return GeneralizationGap(
        train=_build_window_quality(users, part, np.ones(len(part), dtype=bool), values),
        unseen=_build_window_quality(
            users, test, alike, [rolling.values[name][METRIC] for name in pair]
        ),
        metric=METRIC,
    )


def _build_window_quality(
    users: pd.Index, examples: pd.DataFrame, chosen: npt.NDArray[np.bool_], values: list[Any]
) -> WindowQuality:
    is_measured = chosen & ~np.isnan(values[0])
    user = users.get_indexer(pd.Index(examples["user_id"]))
    return WindowQuality(user[is_measured], values[0][is_measured], values[1][is_measured])


def measure_quality(
    recommender: Recommender, evaluation_set: EvaluationSet
) -> npt.NDArray[np.float64]:
    """Return [n] the NDCG@10 of plain lists."""
    recommendations = recommender.recommend(evaluation_set.requests, K)
    hits = ranking.hit_matrix(
        recommendations.items, evaluation_set.label_row, evaluation_set.label_item
    )
    return ranking.ndcg_at_k(hits, evaluation_set.n_true, K)


@contextmanager
def as_of(model: GraphRecommender, histories: Histories, cutoff: float) -> Iterator[None]:
    """Set the model's item state to another cut-off within the context, if it has one."""
    variable = item_state_variable(model)
    if variable is None:
        yield
        return
    before = variable.numpy()
    variable.assign(
        compute_item_state(histories, len(model.vocabulary), cutoff, popular_days=1).values
    )
    try:
        yield
    finally:
        variable.assign(before)


def item_state_variable(model: GraphRecommender) -> Any:
    """Return the variable of the model's item state, None for a model without one."""
    return getattr(getattr(model.module, "features", None), "state", None)


def score_candidates(model: Recommender, evaluation_set: EvaluationSet) -> ScoredCandidates:
    """Return the repeat candidates of each request with the model's probabilities."""
    requests = evaluation_set.requests
    line_row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    row_of_pair = np.unique(line_row * len(model.vocabulary) + requests.item) // len(
        model.vocabulary
    )
    widest = int(np.bincount(row_of_pair, minlength=1).max())
    ranked = model.rank(requests, max(widest, 1))
    hits = ranking.hit_matrix(
        ranked.repeat_items, evaluation_set.label_row, evaluation_set.label_item
    )
    is_item = ranked.repeat_items > 0
    logits = np.where(is_item, ranked.repeat_scores.astype(np.float64), -np.inf)
    peak = logits.max(axis=1, keepdims=True, initial=-np.inf)
    weights = np.exp(logits - np.where(np.isfinite(peak), peak, 0.0))
    probability = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    user = np.unique(
        evaluation_set.examples["user_id"].to_numpy(dtype=object), return_inverse=True
    )[1]
    row = np.nonzero(is_item)[0]
    return ScoredCandidates(
        user=user,
        row=row,
        item=ranked.repeat_items[is_item].astype(np.int64),
        probability=probability[is_item],
        wanted=hits[is_item],
    )
