"""Early stopping of families that rank by vectors, by the quality of their lists."""

from collections.abc import Callable

import numpy as np

from pipeline.metrics import ranking
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.training_data import TrainingData, encode_labels

VALIDATION_EXAMPLES = 2_000
K = 10


def build_list_validation(
    graph: RankingGraph, data: TrainingData, before: Callable[[], object] = lambda: None
) -> Callable[[], float]:
    """Return a function that scores a graph's lists on an even sample of rolling validation.

    The score is the NDCG@10 of the repeat list plus that of the explore list, so that it also
    works for data without repeat purchases.

    Args:
        graph: Graph over the vocabulary of `data`.
        data: Training data with validation examples.
        before: Copies the learned values into the graph; called before each validation.
    """
    sample = data.validation_sample(VALIDATION_EXAMPLES)
    recommender = GraphRecommender({"name": "validated"}, data.vocabulary, graph)
    labels = encode_labels(sample.examples, data.vocabulary)
    n_true = sample.examples["labels"].map(len).to_numpy()

    def validate() -> float:
        before()
        ranked = recommender.rank(sample.requests, K)
        lists = (ranked.repeat_items, ranked.explore_items)
        hits = [ranking.hit_matrix(items, *labels) for items in lists]
        return float(sum(np.nanmean(ranking.ndcg_at_k(matrix, n_true, K)) for matrix in hits))

    return validate
