"""Frequency baselines: popular, personal, decayed, contextual and TIFU-KNN.

Each baseline scores repeat candidates; ties break by recency, then popularity, then item id
(`RankingGraph`). Their explore list is the popular one. Counts are sums of whole steps in double
precision, so that two items bought in the same baskets have the same score on any machine.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import BaselineParams
from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.graph import Explainer, Parts, RankingGraph
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.items import compute_item_state
from pipeline.recommenders.base.top_k import take
from pipeline.recommenders.base.training_data import TrainingData

STEPS = 2.0**30  # steps per unit of weight
DAY_HOURS = 24
SATURDAY = 5
EXPLORE_CATALOGUE = 10_000
NEIGHBOUR_ITEMS = 5_000


class PopularGraph(RankingGraph):
    """Ranks items by recent sales, the same for every user."""

    def top_repeat(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the popular list; repeat candidates have no advantage."""
        return self.top_popular(batch, k)

    def top_repeat_explained(
        self, batch: Batch, k: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Parts]:
        """Return the popular list, explained by popularity alone."""
        items, scores = self.top_popular(batch, k)
        return (items, scores), (("popularity",), scores[:, :, tf.newaxis])


class DecayGraph(RankingGraph):
    """Counts the user's purchases of an item, weighted by exp(-age / decay_days)."""

    def __init__(
        self, popularity: np.ndarray[Any, Any], catalogue: int, decay_days: float | None
    ) -> None:
        """Set the time constant; None gives every purchase the weight 1."""
        super().__init__(popularity, catalogue)
        self._decay_days = decay_days

    def score_repeat(self, batch: Batch) -> tf.Tensor:
        """Return [n_repeat] decayed counts in double precision."""
        return sum_weights(batch, self.weigh(batch))

    def weigh(self, batch: Batch) -> tf.Tensor:
        """Return [n_lines] the weight of each purchase, 0..1, in double precision."""
        age = tf.cast(batch.raw["age_days"], tf.float64)
        return tf.ones_like(age) if self._decay_days is None else tf.exp(-age / self._decay_days)

    def explain_repeat(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return the scores, explained by frequency alone."""
        scores = self.score_repeat(batch)
        frequency = tf.cast(scores, tf.float32)[:, tf.newaxis]
        return scores, lambda pairs: (("frequency",), take(frequency, pairs))


class ContextualGraph(DecayGraph):
    """Decayed frequency that weights earlier trips by their similarity to the request.

    Similarity covers the hour of the day, the part of the week (workdays, weekend) and the store.
    Unknown context is ignored: without time and store this is decayed frequency. The baseline uses
    the same context as the ranker, but has no learned parameters.
    """

    def __init__(
        self, popularity: np.ndarray[Any, Any], catalogue: int, params: BaselineParams
    ) -> None:
        """Set the time constant and the weights of dissimilar trips."""
        super().__init__(popularity, catalogue, params.contextual_decay_days)
        self._params = params

    def weigh(self, batch: Batch) -> tf.Tensor:
        """Return [n_lines] decayed weights, lower for trips that differ from the request."""
        raw, params = batch.raw, self._params
        known = (raw["time_known"], raw["at_store"], raw["local_hour"], raw["local_weekday"])
        now = tf.gather(tf.stack(known, axis=1), batch.line_row)
        apart = tf.abs(raw["hour_of_week"] % DAY_HOURS - now[:, 2])
        apart = tf.cast(tf.minimum(apart, DAY_HOURS - apart), tf.float64)
        hour = tf.exp(-tf.square(apart / params.contextual_hour_width) / 2.0)
        weekend = raw["hour_of_week"] // DAY_HOURS >= SATURDAY
        same_side = tf.cast(weekend == (now[:, 3] >= SATURDAY), tf.float64)
        same_store = tf.cast(raw["store"] == now[:, 1], tf.float64)
        when = _at_least(params.contextual_other_hour, hour) * _at_least(
            params.contextual_other_day, same_side
        )
        where = _at_least(params.contextual_other_store, same_store)
        one = tf.ones_like(hour)
        weight = tf.where(now[:, 0] > 0, when, one) * tf.where(now[:, 1] > 0, where, one)
        return super().weigh(batch) * weight


def _at_least(least: float, likeness: tf.Tensor) -> tf.Tensor:
    """Scale a similarity of 0..1 to a weight of `least`..1."""
    return least + (1.0 - least) * likeness


def sum_weights(batch: Batch, weight: tf.Tensor) -> tf.Tensor:
    """Return [n_repeat] the exact sum of the weights of each item's purchases.

    Args:
        batch: Requests.
        weight: [n_lines] weights in double precision, 0..1.
    """
    return batch.sum_by_repeat(tf.round(weight * STEPS)) / STEPS


class TifuGraph(RankingGraph):
    """TIFU-KNN: a basket vector decayed within and between groups, mixed with its neighbours'.

    Neighbours are searched and averaged over the NEIGHBOUR_ITEMS items with most buyers; the user's
    vector keeps all items.

    References:
        Hu, He, Gao and Zhang, 2020, arXiv:2006.00556.
    """

    def __init__(
        self,
        popularity: np.ndarray[Any, Any],
        catalogue: int,
        params: BaselineParams,
        vectors: np.ndarray[Any, Any],
        items: np.ndarray[Any, Any],
    ) -> None:
        """Store the neighbours.

        Args:
            popularity: [n_items] higher is more popular.
            catalogue: Number of items that may be explored.
            params: Group size, decays, number of neighbours and their weight.
            vectors: [n_users, n_neighbour_items].
            items: [n_neighbour_items] item index of each column.
        """
        super().__init__(popularity, catalogue)
        self._params = params
        column = np.full(len(popularity), -1, dtype=np.int32)
        column[items] = np.arange(len(items))
        self._column = tf.constant(column)
        self._vectors = tf.Variable(vectors.astype(np.float32), trainable=False, name="vectors")
        self._norms = tf.constant((vectors**2).sum(axis=1).astype(np.float32))

    def score_repeat(self, batch: Batch) -> tf.Tensor:
        """Return the weighted sum of the user's vector and the mean of its neighbours."""
        user_scores, neighbour_scores = self._parts(batch)
        return user_scores + neighbour_scores

    def explain_repeat(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return the scores, explained by the user's vector and the neighbours'."""
        user_scores, neighbour_scores = self._parts(batch)
        parts = tf.cast(tf.stack([user_scores, neighbour_scores], axis=1), tf.float32)
        return user_scores + neighbour_scores, lambda pairs: (
            ("frequency", "taste"),
            take(parts, pairs),
        )

    def _parts(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Return [n_repeat] scores of the user's vector and of its neighbours."""
        user_scores = sum_weights(batch, tf.cast(tifu_weights(batch, self._params), tf.float64))
        column = tf.gather(self._column, batch.repeat_item)
        inside = column >= 0
        where = tf.stack(
            [tf.boolean_mask(batch.repeat_row, inside), tf.boolean_mask(column, inside)], axis=1
        )
        shape = tf.stack([batch.n, tf.shape(self._vectors)[1]])
        vector = tf.scatter_nd(
            where, tf.cast(tf.boolean_mask(user_scores, inside), tf.float32), shape
        )
        neighbours = self._mean_of_neighbours(vector)
        neighbour_scores = tf.gather_nd(
            neighbours, tf.stack([batch.repeat_row, tf.maximum(column, 0)], axis=1)
        )
        alpha = self._params.tifu_alpha
        neighbour_scores = tf.cast(tf.where(inside, neighbour_scores, 0.0), tf.float64)
        return alpha * user_scores, (1.0 - alpha) * neighbour_scores

    def _mean_of_neighbours(self, vector: tf.Tensor) -> tf.Tensor:
        """Return [n, n_neighbour_items] the mean vector of the nearest users."""
        distance = self._norms - 2.0 * tf.matmul(vector, self._vectors, transpose_b=True)
        n_users = tf.shape(self._vectors)[0]
        k = tf.minimum(self._params.tifu_neighbours, n_users)
        _, nearest = tf.math.top_k(-distance, k)
        rows = tf.repeat(tf.range(tf.shape(vector)[0]), k)
        where = tf.stack([rows, tf.reshape(nearest, [-1])], axis=1)
        shape = tf.stack([tf.shape(vector)[0], n_users])
        chosen = tf.scatter_nd(where, tf.ones_like(rows, tf.float32), shape)
        return tf.matmul(chosen, self._vectors) / tf.cast(k, tf.float32)


def tifu_weights(batch: Batch, params: BaselineParams) -> tf.Tensor:
    """Return [n_lines] purchase weights; groups count back from the latest basket."""
    size = float(params.tifu_group_baskets)
    ago = tf.cast(batch.raw["baskets_ago"], tf.float32)
    group = tf.floor(ago / size)
    n_baskets = tf.gather(batch.n_baskets, batch.line_row)
    n_groups = tf.math.ceil(n_baskets / size)
    in_group = tf.minimum(size, n_baskets - group * size)
    within = tf.pow(params.tifu_within_decay, ago - group * size)
    between = tf.pow(params.tifu_group_decay, group)
    return within * between / tf.maximum(in_group, 1.0) / tf.maximum(n_groups, 1.0)


def tifu_vectors(
    histories: Histories, n_items: int, cutoff: float, params: BaselineParams
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return [n_users, n_neighbour_items] user vectors at `cutoff`, and the columns' items."""
    known = histories.time < cutoff
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))[known]
    item, basket = histories.item[known], histories.basket[known]
    n_baskets = np.zeros(len(histories.user_ids))
    np.maximum.at(n_baskets, user, basket + 1.0)
    ago = n_baskets[user] - 1 - basket
    size = params.tifu_group_baskets
    group = ago // size
    weight = params.tifu_within_decay ** (ago - group * size) * params.tifu_group_decay**group
    weight /= np.minimum(size, n_baskets[user] - group * size)
    weight /= np.ceil(n_baskets[user] / size)
    pairs = np.unique(user.astype(np.int64) * n_items + item)
    n_buyers = np.bincount(pairs % n_items, minlength=n_items)
    chosen = np.lexsort((np.arange(n_items), -n_buyers))[:NEIGHBOUR_ITEMS]
    chosen = np.sort(chosen[n_buyers[chosen] > 0])
    column = np.full(n_items, -1)
    column[chosen] = np.arange(len(chosen))
    inside = column[item] >= 0
    vectors = np.zeros((len(histories.user_ids), len(chosen)), dtype=np.float32)
    np.add.at(vectors, (user[inside], column[item][inside]), weight[inside])
    return vectors, chosen


def build_baseline(
    name: str, data: TrainingData, params: BaselineParams, cutoff: float
) -> RankingGraph:
    """Return the graph of the baseline `name` at `cutoff`."""
    n_items = len(data.vocabulary)
    state = compute_item_state(data.histories, n_items, cutoff, popular_days=params.popular_days)
    popularity = state.popularity
    if name == "popular":
        return PopularGraph(popularity, EXPLORE_CATALOGUE)
    if name == "personal":
        return DecayGraph(popularity, EXPLORE_CATALOGUE, None)
    if name == "decayed":
        return DecayGraph(popularity, EXPLORE_CATALOGUE, params.decay_days)
    if name == "contextual":
        return ContextualGraph(popularity, EXPLORE_CATALOGUE, params)
    vectors, items = tifu_vectors(data.histories, n_items, cutoff, params)
    return TifuGraph(popularity, EXPLORE_CATALOGUE, params, vectors, items)
