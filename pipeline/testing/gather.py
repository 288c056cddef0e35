"""What a diagnosis asks the candidates: requests that were learned from, and unseen ones.

They answer through their saved graphs, as they would be served. Requests of the last training
window are asked with item state as of that window, which is what the model learned from.
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
from pipeline.recommenders.base.items import item_state
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.shop import requests_of
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap, Side
from pipeline.testing.diagnosis.label_noise import Judged
from pipeline.testing.evaluate import Protocol
from pipeline.testing.measure import EvaluationSet

METRIC, K = "ndcg@10", 10


@dataclass(frozen=True)
class EvaluationTables:
    """What requests are built from.

    Attributes:
        shop: The shop's.
        events: schemas.EVENTS before the end of the test window.
        items: schemas.ITEMS.
        attributes: Codes of the users' attributes.
        train: schemas.EXAMPLES that were learned from.
        validation: schemas.EXAMPLES of the validation window, where the fit stopped.
    """

    shop: ShopParams
    events: pd.DataFrame
    items: pd.DataFrame
    attributes: pd.DataFrame
    train: pd.DataFrame
    validation: pd.DataFrame

    def questions(
        self, examples: pd.DataFrame, histories: Histories, vocabulary: Vocabulary
    ) -> EvaluationSet:
        """Return the examples as questions."""
        zone = self.shop.timezone
        requests = requests_of(examples, histories, vocabulary, self.attributes, zone)
        return EvaluationSet.of(examples, requests, vocabulary)


def sampled(examples: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Return `n` of the examples, or all, in their order."""
    if len(examples) <= n:
        return examples.reset_index(drop=True)
    chosen = np.random.default_rng(seed).choice(len(examples), n, replace=False)
    return examples.iloc[np.sort(chosen)].reset_index(drop=True)


def rolling_of(examples: pd.DataFrame) -> pd.DataFrame:
    """Return the examples that are asked as their basket begins."""
    return examples[examples["protocol"] == "rolling"]


def seen(
    pair: dict[str, GraphRecommender],
    rolling: Protocol,
    tables: EvaluationTables,
    histories: Histories,
    n_requests: int,
) -> GeneralizationGap:
    """Return the quality of two methods on the last training window and on the test window.

    Training examples with a cart are left out, and so are those that know no time and store, and
    test requests of shoppers with a shorter history than any training example has: the same is
    asked on both sides.

    Args:
        pair: The deep candidate, then the counting method, by name.
        rolling: What they are worth on the test window.
        tables: What requests are built from.
        histories: All purchases up to the end of the test window.
        n_requests: Sampled of the training window.
    """
    (model, _), train = pair.values(), rolling_of(tables.train)
    last = train[train["cutoff"] == train["cutoff"].max()]
    part = sampled(last[last["cart"].map(len) == 0], n_requests, tables.shop.seed)
    learned = tables.questions(part, histories, model.vocabulary)
    with as_of(model, histories, float(part["cutoff"].iloc[0].timestamp())):
        values = [quality(method, learned) for method in pair.values()]
    test = rolling.questions.examples
    alike = (test["n_earlier_baskets"] >= train["n_earlier_baskets"].min()).to_numpy()
    users = pd.Index(pd.unique(pd.concat([part["user_id"], test["user_id"]])))
    return GeneralizationGap(
        train=_side(users, part, np.ones(len(part), dtype=bool), values),
        unseen=_side(users, test, alike, [rolling.values[name][METRIC] for name in pair]),
        metric=METRIC,
    )


def _side(
    users: pd.Index, examples: pd.DataFrame, chosen: npt.NDArray[np.bool_], values: list[Any]
) -> Side:
    there = chosen & ~np.isnan(values[0])
    user = users.get_indexer(pd.Index(examples["user_id"]))
    return Side(user[there], values[0][there], values[1][there])


def quality(recommender: Recommender, questions: EvaluationSet) -> npt.NDArray[np.float64]:
    """Return [n] NDCG@10 of plain lists."""
    found = recommender.recommend(questions.requests, K)
    hits = ranking.hit_matrix(found.items, questions.label_row, questions.label_item)
    return ranking.ndcg_at_k(hits, questions.n_true, K)


@contextmanager
def as_of(model: GraphRecommender, histories: Histories, cutoff: float) -> Iterator[None]:
    """Let the model know the item state of another cut-off; a model without one stays as it is."""
    variable = state_of(model)
    if variable is None:
        yield
        return
    before = variable.numpy()
    variable.assign(item_state(histories, len(model.vocabulary), cutoff, popular_days=1).values)
    try:
        yield
    finally:
        variable.assign(before)


def state_of(model: GraphRecommender) -> Any:
    """Return the variable with the model's item state; None for a model without one."""
    return getattr(getattr(model.module, "features", None), "state", None)


def judge(model: Recommender, questions: EvaluationSet) -> Judged:
    """Return all own items of each request with the probability that the model gives them."""
    requests = questions.requests
    line_row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    own = np.unique(line_row * len(model.vocabulary) + requests.item) // len(model.vocabulary)
    widest = int(np.bincount(own, minlength=1).max())
    found = model.rank(requests, max(widest, 1))
    hits = ranking.hit_matrix(found.repeat_items, questions.label_row, questions.label_item)
    there = found.repeat_items > 0
    logits = np.where(there, found.repeat_scores.astype(np.float64), -np.inf)
    peak = logits.max(axis=1, keepdims=True, initial=-np.inf)
    weights = np.exp(logits - np.where(np.isfinite(peak), peak, 0.0))
    probability = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    user = np.unique(questions.examples["user_id"].to_numpy(dtype=object), return_inverse=True)[1]
    row = np.nonzero(there)[0]
    return Judged(user, row, found.repeat_items[there].astype(np.int64), probability[there],
                  hits[there])  # fmt: skip
