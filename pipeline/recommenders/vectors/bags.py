"""Families that see a shopper as a bag of items: what they bought, older purchases weighing less.

What `multvae`, `lightgcn`, `item2vec` and `irgan` share. Design choices:

- They learn on a small shop, whose vocabulary is the most-bought items only; most of a catalogue
  is rare, and an item bought a few times has no company to learn from. The vectors are then
  widened to the whole vocabulary. An item without a vector comes after all that have one.
- Training requests go through the same `embed` as served ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import BagParams, FamiliesParams
from pipeline.recommenders.base.embedding import EmbeddingGraph
from pipeline.recommenders.base.graph import Batch, RankingGraph
from pipeline.recommenders.base.items import item_state
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.fitting.family import FittedFamily, validation_opens
from pipeline.recommenders.fitting.fit import Fitted, set_seed

UNKNOWN = -1e4  # the bias of an item without a vector

Array = np.ndarray[Any, Any]
Parts = dict[str, Array]
P = TypeVar("P", bound=BagParams)


class BagGraph(EmbeddingGraph):
    """A shopper is what they bought, each purchase weighing exp(-age / decay_days)."""

    PER_ITEM: tuple[str, ...] = ("items", "bias")

    def __init__(
        self, popularity: Array, explore_catalogue: int, decay_days: float, parts: Mapping[str, Any]
    ) -> None:
        """Store what was learned.

        Args:
            popularity: [n_items] as of the cut-off.
            explore_catalogue: How many of the most popular items may be explored.
            decay_days: Time constant of the bag.
            parts: By name; `items` [n_items, dim] and `bias` [n_items] at least.
        """
        super().__init__(popularity, explore_catalogue, parts["items"], parts["bias"])
        self._sizes = explore_catalogue, decay_days
        self.known = tf.constant((parts["bias"] > UNKNOWN / 2).astype(np.float32))
        self.parts = {"items": self.items, "bias": self.bias}
        for name in parts.keys() - self.parts.keys():
            self.parts[name] = tf.Variable(parts[name], trainable=False, name=name)

    def bag(self, batch: Batch) -> tf.Tensor:
        """Return [n_own] the decayed count of each own item; 0 for one without a vector."""
        counts = batch.own_sum(tf.exp(-batch.raw["age_days"] / self._sizes[1]))
        return counts * tf.gather(self.known, batch.own_item)

    def unit_bag(self, batch: Batch) -> tf.Tensor:
        """Return `bag` with length 1 per request."""
        counts = self.bag(batch)
        squares = tf.math.unsorted_segment_sum(counts**2, batch.own_row, batch.n)
        return counts / tf.maximum(tf.sqrt(tf.gather(squares, batch.own_row)), 1e-9)

    def put(self, parts: Mapping[str, Any]) -> None:
        """Replace what was learned."""
        for name, values in parts.items():
            self.parts[name].assign(values)

    def values(self) -> Parts:
        """Return what was learned."""
        return {name: variable.numpy() for name, variable in self.parts.items()}

    def standing_at(self, popularity: Array) -> Self:
        """Return the same with another popularity and catalogue."""
        return type(self)(popularity, *self._sizes, self.values())


def mix(weight: tf.Tensor, table: tf.Tensor, batch: Batch) -> tf.Tensor:
    """Return [n, dim] the sum per request of its own items' rows of `table`, weighted.

    Args:
        weight: [n_own].
        table: [n_items, dim].
        batch: Requests.
    """
    rows = tf.gather(table, batch.own_item) * weight[:, tf.newaxis]
    return tf.math.unsorted_segment_sum(rows, batch.own_row, batch.n)


def most_bought(shop: TrainingData, n_items: int) -> Array:
    """Return the indices of the items bought most before validation opens, ascending."""
    past = shop.histories.time < validation_opens(shop)
    counts = np.bincount(shop.histories.item[past], minlength=len(shop.vocabulary))
    order = np.lexsort((np.arange(len(counts)), -counts))[:n_items]
    return np.sort(order[(counts[order] > 0) & (order > 0)])


def limited(shop: TrainingData, chosen: Array) -> TrainingData:
    """Return the shop as if it only sold the chosen items (ascending indices)."""
    place = np.zeros(len(shop.vocabulary), dtype=np.int32)
    place[chosen] = np.arange(1, len(chosen) + 1)
    lines = shop.histories
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
    ids = tuple(shop.vocabulary.ids[at - 1] for at in chosen.tolist())
    items = shop.items.iloc[chosen - 1].reset_index(drop=True)
    return replace(shop, vocabulary=Vocabulary(ids), items=items, histories=histories)


def widened(parts: Parts, per_item: tuple[str, ...], chosen: Array, n_items: int) -> Parts:
    """Return the parts of a limited shop over the whole vocabulary, zero for other items."""
    wide = dict(parts)
    for name in per_item:
        wide[name] = np.full((n_items, *parts[name].shape[1:]), 0.0, dtype=np.float32)
        wide[name][chosen] = parts[name][1:]
    unknown = np.ones(n_items, dtype=bool)
    unknown[chosen] = False
    wide["bias"][unknown] = UNKNOWN
    return wide


def popularity_at(shop: TrainingData, cutoff: float, popular_days: int) -> Array:
    """Return [n_items] what counts as popular at the cut-off."""
    n_items = len(shop.vocabulary)
    return item_state(shop.histories, n_items, cutoff, popular_days=popular_days).popularity


@dataclass(frozen=True)
class Task(Generic[P]):
    """What a bag family is asked to learn.

    Attributes:
        shop: The limited one.
        section: Of the family.
        popularity: [n_items] of the limited shop when validation opens.
        seed: For everything random.
        epochs: How long to train; None stops by validation.
    """

    shop: TrainingData
    section: P
    popularity: Array
    seed: int
    epochs: int | None

    @classmethod
    def of(
        cls, shop: TrainingData, section: P, popular_days: int, seed: int, epochs: int | None
    ) -> tuple["Task[P]", Array]:
        """Return the task on the most-bought items, and which these are."""
        chosen = most_bought(shop, section.maximum_items)
        small = limited(shop, chosen)
        popularity = popularity_at(small, validation_opens(shop), popular_days)
        return cls(small, section, popularity, seed, epochs), chosen


@dataclass(frozen=True)
class BagFamily(Generic[P]):
    """A `Family` from a graph and a way to learn its parts on a limited shop."""

    name: str
    graph: type[BagGraph]
    learn: Callable[[Task[P]], tuple[Parts, Fitted]]

    def fit(
        self,
        shop: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the family fitted on the purchases before validation opens."""
        set_seed(seed)
        section: Any = params.of(self.name)
        length = None if epochs is None else epochs[self.name]
        task, chosen = Task.of(shop, section, params.popular_days, seed, length)
        parts, fitted = self.learn(task)
        wide = widened(parts, self.graph.PER_ITEM, chosen, len(shop.vocabulary))
        popularity = popularity_at(shop, shop.cutoff, params.popular_days)
        graph = self.graph(popularity, section.explore_catalogue, section.decay_days, wide)
        return FittedFamily(graph, {self.name: fitted})

    def at(
        self, cutoff: float, graph: RankingGraph, shop: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same vectors with the popularity and the catalogue of another cut-off."""
        assert isinstance(graph, BagGraph)
        return graph.standing_at(popularity_at(shop, cutoff, params.popular_days))
