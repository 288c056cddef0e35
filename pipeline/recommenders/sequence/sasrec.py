"""SASRec: self-attention over a user's purchase sequence predicts the next item.

SASRec suits shops with few repeat purchases. Design choices:

- Blocks are pre-norm; the same item vectors are input and output of the network.
- The loss uses 256 negatives shared by a batch instead of one per target, which affects quality
  more than the layers do.
- Only the most-bought items have a vector. The others share one input vector, are never a target
  and rank last.
- Attention weights have no dropout, because drawing it costs as much as the attention itself.

References:
    Kang and McAuley, 2018, arXiv:1808.09781 (SASRec).
    Klenitskiy and Vasilev, 2023, arXiv:2309.07602 (many negatives).
    Petrov and Macdonald, 2023, arXiv:2308.07192 (gBCE).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import FamiliesParams, SasrecParams
from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.embedding import EmbeddingGraph
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.histories import Floats
from pipeline.recommenders.base.items import compute_item_state
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.fitting.family import FittedFamily, validation_start
from pipeline.recommenders.fitting.fit import Schedule, fit, key_of, set_seed
from pipeline.recommenders.fitting.stopping import build_list_validation
from pipeline.recommenders.sequence.sampled_losses import gbce, gbce_beta, sampled_softmax
from pipeline.recommenders.sequence.self_attention import SequenceNetwork
from pipeline.recommenders.sequence.sequences import (
    Sequences,
    WindowBatches,
    assign_codes,
    build_sequences,
)

K = 10
UNKNOWN = -1e3


class SasrecGraph(EmbeddingGraph):
    """Represents a user by the output of the network after their latest purchases."""

    def __init__(
        self,
        popularity: np.ndarray[Any, Any],
        explore_catalogue: int,
        codes: Ints,
        network: SequenceNetwork,
        max_length: int,
    ) -> None:
        """Store the network.

        Args:
            popularity: [n_items] at the cut-off.
            explore_catalogue: Number of most popular items that may be explored.
            codes: [n_items] row of each item in the network's table, 0 = the shared row.
            network: Network, before or after its fit.
            max_length: Number of latest purchases that the network reads.
        """
        vectors = np.zeros((len(codes), network.table.shape[1]))
        super().__init__(popularity, explore_catalogue, vectors, np.zeros(len(codes)))
        self.codes = tf.constant(codes)
        self.network = network
        self._max_length = max_length
        self._behind = UNKNOWN + tf.math.log1p(self.popularity)
        self.refresh()

    def refresh(self) -> None:
        """Copy the item vectors and biases of the network into the graph."""
        self.items.assign(tf.gather(self.network.table, self.codes))
        bias = tf.gather(self.network.bias, self.codes)
        self.bias.assign(tf.where(self.codes > 0, bias, self._behind))

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] user vectors, zeros for an empty history."""
        codes, count = latest_codes(batch, self.codes, self._max_length)
        hidden = self.network(codes, training=False)
        last = tf.gather(hidden, tf.maximum(count - 1, 0), batch_dims=1)
        return tf.where(count[:, tf.newaxis] > 0, last, 0.0)


def latest_codes(batch: Batch, codes: tf.Tensor, max_length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return [n, width] codes of each request's latest lines, oldest first, and [n] their number.

    Lines are ordered by basket, then by item, as in training.
    """
    ago = tf.cast(batch.raw["baskets_ago"], tf.int64)
    longest = tf.reduce_max(ago, keepdims=False) + 1
    key = tf.cast(batch.line_row, tf.int64) * longest + (longest - 1 - ago)
    order = tf.argsort(key, stable=True)
    sorted_codes = tf.gather(codes, tf.gather(batch.raw["item"], order))
    splits = batch.raw["row_splits"]
    count = tf.minimum(splits[1:] - splits[:-1], max_length)
    width = tf.maximum(tf.reduce_max(count), 1)
    at = (splits[1:] - count)[:, tf.newaxis] + tf.range(width)
    nothing = tf.cast(tf.size(sorted_codes), tf.int64)
    at = tf.where(at < splits[1:, tf.newaxis], at, nothing)
    return tf.gather(tf.concat([sorted_codes, [0]], axis=0), at), tf.cast(count, tf.int32)


class SasrecFamily:
    """Self-attention over the sequence of purchases."""

    def fit(
        self,
        data: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the network fitted on the purchases before the validation window."""
        set_seed(seed)
        section, opens = params.sasrec, validation_start(data)
        codes = assign_codes(data.histories, len(data.vocabulary), opens, section.maximum_items)
        sequences = build_sequences(data.histories, codes, opens, section.max_length)
        windows = WindowBatches(sequences, section.max_length, section.batch_size)
        network = build_network(int(codes.max()) + 1, section)
        if section.loss == "sampled_softmax":
            network.bias.assign(log_shares(sequences))
        graph = build_graph(opens, data, params, codes, network)
        negatives = Negatives(sequences, section)
        fitted = fit(
            "sasrec",
            list(network.variables),
            batches=lambda random: add_negatives(windows, negatives, random),
            n_batches=windows.n_batches,
            loss=build_loss(network, negatives, section),
            validate=None
            if epochs is not None
            else build_list_validation(graph, data, graph.refresh),
            schedule=Schedule.of(
                section, seed=seed, epochs=None if epochs is None else epochs["network"]
            ),
            key=key_of(section, seed, epochs, opens, sequences.code, data.vocabulary.ids),
        )
        return FittedFamily(self.at(data.cutoff, graph, data, params), {"network": fitted})

    def at(
        self, cutoff: float, graph: RankingGraph, data: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same network with the popularity at another cut-off."""
        assert isinstance(graph, SasrecGraph)
        return build_graph(cutoff, data, params, graph.codes.numpy(), graph.network)


def log_shares(sequences: Sequences) -> Floats:
    """Return [n_codes] the log ratio of each item's share of purchases to the mean share.

    Used as initial biases, so that the network need not learn popularity.
    """
    share = np.maximum(sequences.item_counts, 1).astype(np.float64)
    logs = np.log(share) - np.log(share[1:].mean())
    return np.asarray(np.append(0.0, logs[1:]), dtype=np.float32)


def build_network(n_codes: int, params: SasrecParams) -> SequenceNetwork:
    """Return a network with initial weights."""
    return SequenceNetwork(
        n_codes,
        dim=params.embedding_dim,
        n_blocks=params.n_blocks,
        n_heads=params.n_heads,
        max_length=params.max_length,
        dropout=params.dropout,
    )


def build_graph(
    cutoff: float, data: TrainingData, params: FamiliesParams, codes: Ints, network: SequenceNetwork
) -> SasrecGraph:
    """Return a graph of the network with the popularity at `cutoff`."""
    state = compute_item_state(
        data.histories, len(data.vocabulary), cutoff, popular_days=params.popular_days
    )
    section = params.sasrec
    return SasrecGraph(
        state.popularity, section.explore_catalogue, codes, network, section.max_length
    )


class Negatives:
    """Draws the negatives of a batch: uniformly for gBCE, else by a power of the counts."""

    def __init__(self, sequences: Sequences, params: SasrecParams) -> None:
        """Compute the sampling probabilities from the item counts."""
        power = params.negative_power if params.loss == "sampled_softmax" else 0.0
        weights = sequences.item_counts[1:].astype(np.float64) ** power
        self.probability = weights / weights.sum()
        self.log_q = np.log(np.append(1.0, self.probability)).astype(np.float32)
        self._upper = np.cumsum(self.probability)
        self._n = params.n_negatives

    def draw(self, random: np.random.Generator) -> Ints:
        """Return [n_negatives] codes drawn with replacement."""
        codes = np.searchsorted(self._upper, random.random(self._n) * self._upper[-1], "right")
        return np.asarray(np.minimum(codes, len(self._upper) - 1) + 1, dtype=np.int32)


def add_negatives(
    windows: WindowBatches, negatives: Negatives, random: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    """Yield codes, targets, weights and shared negatives as tensors."""
    for batch in windows.batches(random):
        yield tuple(tf.constant(values) for values in (*batch, negatives.draw(random)))


def build_loss(
    network: SequenceNetwork, negatives: Negatives, params: SasrecParams
) -> Callable[..., tf.Tensor]:
    """Return the loss of a batch, the weighted mean over its tokens."""
    log_q = tf.constant(negatives.log_q)
    beta = gbce_beta(params.n_negatives, len(negatives.probability), params.gbce_calibration)

    def loss(codes: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, drawn: tf.Tensor) -> Any:
        dim = params.embedding_dim
        hidden = tf.reshape(network(codes, training=True), [-1, dim])
        wanted = tf.reshape(targets, [-1])
        positive = tf.reduce_sum(hidden * tf.gather(network.table, wanted), axis=1)
        positive += tf.gather(network.bias, wanted)
        negative = tf.matmul(hidden, tf.gather(network.table, drawn), transpose_b=True)
        negative += tf.gather(network.bias, drawn)
        collides = wanted[:, tf.newaxis] == drawn
        if params.loss == "gbce":
            losses = gbce(positive, negative, collides, beta)
        else:
            losses = sampled_softmax(positive, negative, collides, tf.gather(log_q, drawn))
        weight = tf.reshape(weights, [-1])
        return tf.reduce_sum(losses * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)

    return loss
