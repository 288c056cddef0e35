"""Mult-VAE: a variational autoencoder from a user's bag of purchases to item probabilities.

The encoder maps the bag to a few normal variables, the decoder maps these to the catalogue. The
decoder's last layer is a vector and a bias per item, so its hidden layer is the user's vector.

Design choices:

- The bag is decayed at the time of a training request. The target is that bag
  (`reconstruction_weight`) and the following basket; without the basket it is the paper's model.
- KL annealing: the KL weight rises from 0 to `kl_weight` over `annealing_steps`, which prevents
  the posterior from collapsing early.

References:
    Liang, Krishnan, Hoffman and Jebara, 2018, arXiv:1802.05814.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import MultVaeParams
from pipeline.recommenders.base.batch import SIGNATURE, Batch, read_batch
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import build_list_validation
from pipeline.recommenders.vectors.bag_fit import (
    build_request_batches,
    fit_task,
    label_log_probability,
    log_shares,
)
from pipeline.recommenders.vectors.bags import BagFamily, BagGraph, Parts, Task, sum_rows

NAME = "multvae"


class MultVaeGraph(BagGraph):
    """Graph of the decoder's last layer (`items`, `bias`) and the rest of the autoencoder."""

    PER_ITEM = ("items", "bias", "sources")

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the decoder's hidden layer at the mean of the latent variables."""
        mean, _ = encode(self.parts, sum_rows(self.unit_bag(batch), self.parts["sources"], batch))
        return decode(self.parts, mean)


def encode(parts: Any, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return [n, latent_dim] means and log variances of [n, dim] weighted sums of the bags."""
    hidden = tf.tanh(sums + parts["encoder_bias"])
    both = tf.matmul(hidden, parts["latent"]) + parts["latent_bias"]
    mean, log_variance = tf.split(both, 2, axis=1)
    return mean, log_variance


def decode(parts: Any, latent: tf.Tensor) -> tf.Tensor:
    """Return [n, dim] user vectors of [n, latent_dim] latent variables."""
    return tf.tanh(tf.matmul(latent, parts["decoder"]) + parts["decoder_bias"])


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Return [n] the KL divergence of a diagonal normal from the standard one, in nats.

    >>> kl_divergence(tf.constant([[1.0, 0.0]]), tf.zeros([1, 2])).numpy().tolist()
    [0.5]
    """
    return 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1.0 - log_variance, axis=1)


def build_first_parts(task: Task[MultVaeParams]) -> Parts:
    """Return the initial parts, which recommend popular items to every user."""
    random = np.random.default_rng(task.seed)
    n, section = len(task.data.vocabulary), task.section
    dim, latent = section.embedding_dim, section.latent_dim

    def normal(*shape: int) -> np.ndarray[Any, Any]:
        return random.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32)

    return {
        "items": random.normal(0.0, 0.01, (n, dim)).astype(np.float32),
        "bias": log_shares(task.data),
        "sources": random.normal(0.0, 0.3, (n, dim)).astype(np.float32),
        "encoder_bias": np.zeros(dim, np.float32),
        "latent": normal(dim, 2 * latent),
        "latent_bias": np.zeros(2 * latent, np.float32),
        "decoder": normal(latent, dim),
        "decoder_bias": np.zeros(dim, np.float32),
    }


def build_loss(
    graph: MultVaeGraph, learned: dict[str, tf.Variable], step: tf.Variable, section: MultVaeParams
) -> Callable[..., tf.Tensor]:
    """Return the loss of a batch: nats per purchase plus the annealed KL divergence.

    Args:
        graph: Graph that computes the bags.
        learned: Parts during training.
        step: Counter of batches.
        section: Weights of the loss terms.
    """

    def loss(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-2], strict=True)))
        labels, seed = inputs[-2:]
        bag = graph.unit_bag(batch)
        kept = tf.random.stateless_uniform(tf.shape(bag), seed) >= section.input_dropout
        noisy = bag * tf.cast(kept, tf.float32) / (1.0 - section.input_dropout)
        mean, log_variance = encode(learned, sum_rows(noisy, learned["sources"], batch))
        noise = tf.random.stateless_normal(tf.shape(mean), seed + 1)
        users = decode(learned, mean + noise * tf.exp(0.5 * log_variance))
        logits = tf.matmul(users, learned["items"], transpose_b=True) + learned["bias"]
        repeat_pairs = tf.stack([batch.repeat_row, batch.repeat_item], axis=1)
        seen = section.reconstruction_weight * graph.bag(batch)
        gain = tf.reduce_sum(label_log_probability(logits, labels))
        gain += tf.reduce_sum(seen * label_log_probability(logits, repeat_pairs))
        total = tf.cast(tf.shape(labels)[0], tf.float32) + tf.reduce_sum(seen)
        share = tf.minimum(tf.cast(step.assign_add(1), tf.float32) / section.annealing_steps, 1.0)
        kl = tf.reduce_sum(kl_divergence(mean, log_variance))
        return (section.kl_weight * share * kl - gain) / tf.maximum(total, 1.0)

    return loss


def learn(task: Task[MultVaeParams]) -> tuple[Parts, Fitted]:
    """Train the autoencoder and return its parts."""
    section, start = task.section, build_first_parts(task)
    graph = MultVaeGraph(task.popularity, section.explore_catalogue, section.decay_days, start)
    learned = {name: tf.Variable(values, name=name) for name, values in start.items()}
    step = tf.Variable(0, trainable=False, name="step")
    fitted = fit_task(
        NAME,
        task,
        [*learned.values(), step],
        batches=build_request_batches(task.data, section.batch_size),
        loss=build_loss(graph, learned, step, section),
        validate=build_list_validation(graph, task.data, lambda: graph.put(learned)),
    )
    return {name: variable.numpy() for name, variable in learned.items()}, fitted


FAMILY = BagFamily(NAME, MultVaeGraph, learn)
