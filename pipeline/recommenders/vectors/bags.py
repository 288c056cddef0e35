"""Families that see a user as a bag of purchases, weighted by recency.

`multvae`, `lightgcn`, `item2vec` and `irgan` share this module. Design choices:

- The families learn on the most-bought items only, because a rare item has too few co-occurrences.
  The vectors are then extended to the whole vocabulary; an item without a vector ranks behind all
  others.
- Training requests pass through the same `embed` as served ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import BagParams, FamiliesParams
from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.embedding import EmbeddingGraph
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.items import compute_item_state
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.fitting.family import FittedFamily, validation_start
from pipeline.recommenders.fitting.fit import Fitted, set_seed

UNKNOWN = -1e4  # the bias of an item without a vector

Array = np.ndarray[Any, Any]
Parts = dict[str, Array]
P = TypeVar("P", bound=BagParams)


class BagGraph(EmbeddingGraph):
    """Represents a user by their purchases, weighted by exp(-age / decay_days)."""

    PER_ITEM: tuple[str, ...] = ("items", "bias")

    def __init__(
        self, popularity: Array, explore_catalogue: int, decay_days: float, parts: Mapping[str, Any]
    ) -> None:
        """Store the learned parts.

        Args:
            popularity: [n_items] at the cut-off.
            explore_catalogue: Number of most popular items that may be explored.
            decay_days: Time constant of the bag, in days.
            parts: Learned arrays by name, at least `items` [n_items, dim] and `bias` [n_items].
        """
        super().__init__(popularity, explore_catalogue, parts["items"], parts["bias"])
        self._sizes = explore_catalogue, decay_days
        self.known = tf.constant((parts["bias"] > UNKNOWN / 2).astype(np.float32))
        self.parts = {"items": self.items, "bias": self.bias}
        for name in parts.keys() - self.parts.keys():
            self.parts[name] = tf.Variable(parts[name], trainable=False, name=name)

    def bag(self, batch: Batch) -> tf.Tensor:
        """Return [n_repeat] the decayed count of each candidate, 0 for items without a vector."""
        counts = batch.sum_by_repeat(tf.exp(-batch.raw["age_days"] / self._sizes[1]))
        return counts * tf.gather(self.known, batch.repeat_item)

    def unit_bag(self, batch: Batch) -> tf.Tensor:
        """Return `bag` normalised to length 1 per request."""
        counts = self.bag(batch)
        squares = tf.math.unsorted_segment_sum(counts**2, batch.repeat_row, batch.n)
        return counts / tf.maximum(tf.sqrt(tf.gather(squares, batch.repeat_row)), 1e-9)

    def put(self, parts: Mapping[str, Any]) -> None:
        """Replace the learned parts."""
        for name, values in parts.items():
            self.parts[name].assign(values)

    def values(self) -> Parts:
        """Return the learned parts as arrays."""
        return {name: variable.numpy() for name, variable in self.parts.items()}

    def standing_at(self, popularity: Array) -> Self:
        """Return the same vectors with another popularity and catalogue."""
        return type(self)(popularity, *self._sizes, self.values())


def sum_rows(weight: tf.Tensor, table: tf.Tensor, batch: Batch) -> tf.Tensor:
    """Return [n, dim] the weighted sum of the repeat candidates' rows of `table`, per request.

    Args:
        weight: [n_repeat].
        table: [n_items, dim].
        batch: Requests.
    """
    rows = tf.gather(table, batch.repeat_item) * weight[:, tf.newaxis]
    return tf.math.unsorted_segment_sum(rows, batch.repeat_row, batch.n)


def most_bought(data: TrainingData, n_items: int) -> Array:
    """Return the indices of the items bought most before validation starts, ascending."""
    past = data.histories.time < validation_start(data)
    counts = np.bincount(data.histories.item[past], minlength=len(data.vocabulary))
    order = np.lexsort((np.arange(len(counts)), -counts))[:n_items]
    return np.sort(order[(counts[order] > 0) & (order > 0)])


def restrict_items(data: TrainingData, chosen: Array) -> TrainingData:
    """Return the data restricted to the chosen items (ascending indices)."""
    place = np.zeros(len(data.vocabulary), dtype=np.int32)
    place[chosen] = np.arange(1, len(chosen) + 1)
    lines = data.histories
    kept = place[lines.item] > 0
    before = np.concatenate([[0], np.cumsum(kept)])
    histories = replace(
        lines,
        row_splits=before[lines.row_splits],
        item=place[lines.item][kept],
        time=lines.time[kept],
        basket=lines.basket[kept],
        quantity=lines.quantity[kept],
        price=lines.price[kept],
        store=lines.store[kept],
    )
    ids = tuple(data.vocabulary.ids[at - 1] for at in chosen.tolist())
    items = data.items.iloc[chosen - 1].reset_index(drop=True)
    return replace(data, vocabulary=Vocabulary(ids), items=items, histories=histories)


def widen_parts(parts: Parts, per_item: tuple[str, ...], chosen: Array, n_items: int) -> Parts:
    """Return the parts extended to the whole vocabulary, with zeros for the other items."""
    wide = dict(parts)
    for name in per_item:
        wide[name] = np.full((n_items, *parts[name].shape[1:]), 0.0, dtype=np.float32)
        wide[name][chosen] = parts[name][1:]
    unknown = np.ones(n_items, dtype=bool)
    unknown[chosen] = False
    wide["bias"][unknown] = UNKNOWN
    return wide


def popularity_at(data: TrainingData, cutoff: float, popular_days: int) -> Array:
    """Return [n_items] popularity at the cut-off."""
    n_items = len(data.vocabulary)
    return compute_item_state(data.histories, n_items, cutoff, popular_days=popular_days).popularity


@dataclass(frozen=True)
class Task(Generic[P]):
    """Inputs of the fit of a bag family.

    Attributes:
        data: Training data restricted to the most-bought items.
        section: Parameters of the family.
        popularity: [n_items] popularity at the start of validation.
        seed: Seed of all random choices.
        epochs: Number of epochs; None stops by validation.
    """

    data: TrainingData
    section: P
    popularity: Array
    seed: int
    epochs: int | None

    @classmethod
    def of(
        cls, data: TrainingData, section: P, popular_days: int, seed: int, epochs: int | None
    ) -> tuple["Task[P]", Array]:
        """Return the task on the most-bought items, and the indices of these items."""
        chosen = most_bought(data, section.maximum_items)
        small = restrict_items(data, chosen)
        popularity = popularity_at(small, validation_start(data), popular_days)
        return cls(small, section, popularity, seed, epochs), chosen


@dataclass(frozen=True)
class BagFamily(Generic[P]):
    """A `Family` made of a graph and a function that learns its parts on restricted data."""

    name: str
    graph: type[BagGraph]
    learn: Callable[[Task[P]], tuple[Parts, Fitted]]

    def fit(
        self,
        data: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the family fitted on the purchases before validation starts."""
        set_seed(seed)
        section: Any = params.of(self.name)
        length = None if epochs is None else epochs[self.name]
        task, chosen = Task.of(data, section, params.popular_days, seed, length)
        parts, fitted = self.learn(task)
        wide = widen_parts(parts, self.graph.PER_ITEM, chosen, len(data.vocabulary))
        popularity = popularity_at(data, data.cutoff, params.popular_days)
        graph = self.graph(popularity, section.explore_catalogue, section.decay_days, wide)
        return FittedFamily(graph, {self.name: fitted})

    def at(
        self, cutoff: float, graph: RankingGraph, data: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same vectors with the popularity and the catalogue of another cut-off."""
        assert isinstance(graph, BagGraph)
        return graph.standing_at(popularity_at(data, cutoff, params.popular_days))
