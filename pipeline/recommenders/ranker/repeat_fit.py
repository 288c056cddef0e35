"""Fit the network for repeat candidates with a listwise softmax per request."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import RankerParams
from pipeline.metrics import ranking
from pipeline.recommenders.base.saved import N_THREADS
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.fit import Fitted, Schedule, fit, key_of
from pipeline.recommenders.fitting.losses import listwise_softmax
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    build_extractor,
    build_repeat_pairs,
)
from pipeline.recommenders.ranker.features import N_STRONGEST
from pipeline.recommenders.ranker.graph import RankerGraph
from pipeline.recommenders.ranker.network import build_inputs, build_network, mean_score

SCORE_PART = 50_000
K = 10
LENGTH_STEP = 16  # few widths of batches, so that few shapes are met

Batch = tuple[tf.Tensor, ...]


class NetworkValidation(Protocol):
    """Builds the validation score of a network during its fit."""

    def of_network(self, network: Any) -> Callable[[], float]:
        """Return a function that scores the network's current weights; higher is better."""
        ...


def fit_repeat_ranker(  # noqa: PLR0913  all that shapes the fit
    graph: RankerGraph,
    train: RepeatPairs,
    validation: "RepeatValidation | None",
    params: RankerParams,
    *,
    encoder: str,
    seed: int,
    epochs: int | None,
) -> Fitted:
    """Build the graph's network and fit it.

    Args:
        graph: Graph that computed the features of `train`.
        train: Training pairs.
        validation: Validation pairs for early stopping; None for a fixed number of epochs.
        params: Layers, rates.
        encoder: Name of the history encoder.
        seed: Seed of all random choices.
        epochs: Number of epochs without validation.
    """
    graph.network = build_fresh_network(train, graph.features.n_types, params, encoder)
    key = key_of(params, encoder, seed, epochs, train.features[::997], train.wanted)
    return fit_network(
        "network",
        graph.network,
        Lists(train),
        validation,
        params,
        seed=seed,
        epochs=epochs,
        key=key,
    )


def fit_network(  # noqa: PLR0913  all that shapes the fit
    name: str,
    network: Any,
    lists: "Lists",
    validation: NetworkValidation | None,
    params: RankerParams,
    *,
    seed: int,
    epochs: int | None,
    key: str,
) -> Fitted:
    """Fit `network` on `lists` in place; see `fit_repeat_ranker`."""
    return fit(
        name,
        list(network.variables),
        batches=lambda random: lists.batches(random, params.batch_size),
        n_batches=lists.n_batches(params.batch_size),
        loss=lambda *batch: list_loss(network, batch, training=True),
        validate=None if validation is None else validation.of_network(network),
        schedule=Schedule.of(params, seed=seed, epochs=epochs),
        key=key,
    )


def list_loss(network: Any, batch: Batch, *, training: bool) -> tf.Tensor:
    """Return the scalar loss of a batch of `Lists`, averaged over the ensemble."""
    *inputs, wanted, mask = batch
    scores = network(build_inputs(*inputs), training=training)
    losses = [
        listwise_softmax(tf.reshape(network_scores, tf.shape(wanted)), wanted, mask)
        for network_scores in tf.unstack(scores, num=network.output_shape[-1], axis=1)
    ]
    return tf.add_n(losses) / len(losses)


def build_fresh_network(
    train: RepeatPairs, n_kinds: int, params: RankerParams, encoder: str
) -> Any:
    """Return a network with initial weights, standardised by the features of `train`."""
    return build_network(*feature_statistics(train.features), params, encoder, n_kinds)


def feature_statistics(
    features: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return [n_features] mean and [n_features] deviation over an even sample of the rows."""
    sample = features[:: max(1, len(features) // 200_000)].astype(np.float64)
    deviation = sample.std(axis=0)
    return sample.mean(axis=0), np.where(deviation > 1e-3, deviation, 1.0)  # noqa: PLR2004


class Lists:
    """Draws batches of requests from training pairs, without requests that have no hit.

    A batch is features [n, length, n_features], ages [n, length, n_ages], kinds, relevance and
    the mask of pairs, [n, length] each. A step on this dense shape takes half the time of a step
    on flat pairs.
    """

    def __init__(self, pairs: RepeatPairs, chosen: np.ndarray[Any, Any] | None = None) -> None:
        """Index the pairs by request; `chosen` [n] marks the requests to learn from."""
        self._pairs = pairs
        self._splits = np.searchsorted(pairs.row, np.arange(pairs.n + 1))
        hits = np.bincount(pairs.row, weights=pairs.wanted > 0, minlength=pairs.n)
        self._useful = np.flatnonzero(hits if chosen is None else (hits > 0) & chosen)

    def n_batches(self, size: int) -> int:
        """Return the number of batches per epoch."""
        return max(1, -(-len(self._useful) // size))

    def batches(self, random: np.random.Generator, size: int) -> Iterator[Batch]:
        """Yield batches of `size` requests, as wide as their longest list, rounded up."""
        order = random.permutation(self._useful)
        pairs = self._pairs
        for start in range(0, len(order), size):
            chosen = np.sort(order[start : start + size])
            first, lengths = self._splits[chosen], self._splits[chosen + 1] - self._splits[chosen]
            place = np.arange(-(-lengths.max() // LENGTH_STEP) * LENGTH_STEP)
            mask = place < lengths[:, np.newaxis]
            at = np.where(mask, first[:, np.newaxis] + place, first[:, np.newaxis])
            yield (
                tf.constant(pairs.features[at]),
                tf.constant(pairs.ages[at]),
                tf.constant(pairs.kind[at]),
                tf.constant(pairs.wanted[at] * mask),
                tf.constant(mask),
            )


@dataclass(frozen=True)
class RepeatValidation:
    """Rolling validation requests, on which a fit computes NDCG@10 of repeat candidates.

    Attributes:
        pairs: Repeat candidates of every request.
        n_true: [n] labels per request.
        user: [n] code of each request's user.
    """

    pairs: RepeatPairs
    n_true: np.ndarray[Any, Any]
    user: np.ndarray[Any, Any]

    @classmethod
    def of(cls, graph: RankerGraph, data: TrainingData, params: RankerParams) -> "RepeatValidation":
        """Return the rolling validation examples as pairs, with the graph's item state."""
        examples, extract = data.rolling.examples, build_extractor(graph, params.n_ages)
        labels = Labels.of(examples, data)
        pairs = build_repeat_pairs(data.rolling.requests, labels, extract, N_STRONGEST)
        user = np.unique(examples["user_id"].to_numpy(dtype=object), return_inverse=True)[1]
        return cls(pairs, examples["labels"].map(len).to_numpy(), user)

    def part(self, step: int) -> "RepeatValidation":
        """Return the requests of every `step`-th user."""
        chosen = self.user % step == 0
        pairs = self.pairs.of_requests(chosen)
        return RepeatValidation(pairs, self.n_true[chosen], self.user[chosen])

    def of_network(self, network: Any) -> Callable[[], float]:
        """Return a function that scores the network's current weights."""
        score = build_scorer(network)
        return lambda: float(np.nanmean(self.ndcg(score)))

    def ndcg(self, score: Callable[[RepeatPairs], np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Return [n] NDCG@10 of the pairs ranked by `score`, NaN without labels."""
        return ranking.ndcg_at_k(best_hits(score(self.pairs), self.pairs), self.n_true, K)


def build_scorer(network: Any) -> Callable[[RepeatPairs], np.ndarray[Any, Any]]:
    """Return a function from pairs to [n_pairs] scores of the network."""
    stored_types = (tf.float16, tf.float16, tf.int32)
    specs = [tf.TensorSpec(i.shape, t) for i, t in zip(network.inputs, stored_types, strict=True)]

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator]
    def score(*inputs: tf.Tensor) -> tf.Tensor:
        return mean_score(network, build_inputs(*inputs))

    def score_all(pairs: RepeatPairs) -> np.ndarray[Any, Any]:
        inputs = (pairs.features, pairs.ages, pairs.kind)
        score.get_concrete_function()  # traced before the threads begin

        def score_part(start: int) -> np.ndarray[Any, Any]:
            part = slice(start, start + SCORE_PART)
            return np.asarray(score(*(values[part] for values in inputs)))

        with ThreadPoolExecutor(N_THREADS) as pool:
            return np.concatenate([*pool.map(score_part, range(0, len(pairs.item), SCORE_PART))])

    return score_all


def best_hits(scores: np.ndarray[Any, Any], pairs: RepeatPairs) -> np.ndarray[Any, Any]:
    """Return [n, K] whether the top K pairs of each request are labels."""
    order = np.lexsort((-scores, pairs.row))
    row = pairs.row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(pairs.n))[row]
    top = rank < K
    hits = np.zeros((pairs.n, K), dtype=bool)
    hits[row[top], rank[top]] = pairs.wanted[order][top] > 0
    return hits
