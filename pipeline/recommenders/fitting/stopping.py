"""When a family that ranks by vectors stops: by the quality of its lists on validation."""

from collections.abc import Callable

import numpy as np

from pipeline.metrics import ranking
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.shop import TrainingData, labels_of

VALIDATION_EXAMPLES = 2_000
K = 10


def ndcg_of_lists(
    graph: RankingGraph, shop: TrainingData, before: Callable[[], object] = lambda: None
) -> Callable[[], float]:
    """Return a function that scores a graph's lists on an even sample of rolling validation.

    The score is the NDCG@10 of the repeat list plus that of the explore list: where nothing is
    bought twice the first is always 0, and the second alone decides.

    Args:
        graph: Over the vocabulary of `shop`.
        shop: With validation examples.
        before: Called first, to bring what was learned into the graph.
    """
    asked = shop.validation_sample(VALIDATION_EXAMPLES)
    recommender = GraphRecommender({"name": "validated"}, shop.vocabulary, graph)
    labels = labels_of(asked.examples, shop.vocabulary)
    n_true = asked.examples["labels"].map(len).to_numpy()

    def validate() -> float:
        before()
        found = recommender.rank(asked.requests, K)
        lists = (found.repeat_items, found.explore_items)
        hits = [ranking.hit_matrix(items, *labels) for items in lists]
        return float(sum(np.nanmean(ranking.ndcg_at_k(each, n_true, K)) for each in hits))

    return validate
