"""Mult-VAE: an autoencoder of a shopper's bag of purchases, as probabilities of what comes next.

The bag is squeezed through a few normal variables and spread over the catalogue again. The last
layer of the decoder is a vector and a bias per item, so the decoder's hidden layer is the shopper.

Design choices:

- The bag is decayed and comes from the moment of a training request. What is rebuilt is that bag
  (`reconstruction_weight`) and the basket that followed; with the basket left out it is the paper's
  model.
- KL annealing: its weight rises from 0 to `kl_weight` over `annealing_steps`, or the latent
  variables would be given up before they say anything.

References:
    Liang, Krishnan, Hoffman and Jebara, 2018, arXiv:1802.05814.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import MultVaeParams
from pipeline.recommenders.base.graph import SIGNATURE, Batch, read_batch
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import ndcg_of_lists
from pipeline.recommenders.vectors.bag_fit import (
    fit_task,
    label_log_probability,
    log_shares,
    request_batches,
)
from pipeline.recommenders.vectors.bags import BagFamily, BagGraph, Parts, Task, mix

NAME = "multvae"


class MultVaeGraph(BagGraph):
    """items, bias: the decoder's last layer; the other parts: encoder and decoder."""

    PER_ITEM = ("items", "bias", "sources")

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the decoder's hidden layer at the mean of the latent variables."""
        mean, _ = encode(self.parts, mix(self.unit_bag(batch), self.parts["sources"], batch))
        return decode(self.parts, mean)


def encode(parts: Any, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return means and log variances [n, latent_dim] from the bag's weighted sum [n, dim]."""
    hidden = tf.tanh(sums + parts["encoder_bias"])
    both = tf.matmul(hidden, parts["latent"]) + parts["latent_bias"]
    mean, log_variance = tf.split(both, 2, axis=1)
    return mean, log_variance


def decode(parts: Any, latent: tf.Tensor) -> tf.Tensor:
    """Return [n, dim] the shopper's vectors from [n, latent_dim]."""
    return tf.tanh(tf.matmul(latent, parts["decoder"]) + parts["decoder_bias"])


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Return [n] the KL divergence of a diagonal normal from the standard one, in nats.

    >>> kl_divergence(tf.constant([[1.0, 0.0]]), tf.zeros([1, 2])).numpy().tolist()
    [0.5]
    """
    return 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1.0 - log_variance, axis=1)


def first_parts(task: Task[MultVaeParams]) -> Parts:
    """Return the values before training; every shopper is offered what is popular."""
    random = np.random.default_rng(task.seed)
    n, section = len(task.shop.vocabulary), task.section
    dim, latent = section.embedding_dim, section.latent_dim

    def normal(*shape: int) -> np.ndarray[Any, Any]:
        return random.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32)

    return {
        "items": random.normal(0.0, 0.01, (n, dim)).astype(np.float32),
        "bias": log_shares(task.shop),
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
    """Return the loss of a batch: nats per purchase, and the annealed KL divergence.

    Args:
        graph: Makes the bags.
        learned: Its parts while they are learned.
        step: Counts the batches.
        section: Weights.
    """

    def loss(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-2], strict=True)))
        labels, seed = inputs[-2:]
        bag = graph.unit_bag(batch)
        kept = tf.random.stateless_uniform(tf.shape(bag), seed) >= section.input_dropout
        noisy = bag * tf.cast(kept, tf.float32) / (1.0 - section.input_dropout)
        mean, log_variance = encode(learned, mix(noisy, learned["sources"], batch))
        noise = tf.random.stateless_normal(tf.shape(mean), seed + 1)
        users = decode(learned, mean + noise * tf.exp(0.5 * log_variance))
        logits = tf.matmul(users, learned["items"], transpose_b=True) + learned["bias"]
        own = tf.stack([batch.own_row, batch.own_item], axis=1)
        seen = section.reconstruction_weight * graph.bag(batch)
        gain = tf.reduce_sum(label_log_probability(logits, labels))
        gain += tf.reduce_sum(seen * label_log_probability(logits, own))
        total = tf.cast(tf.shape(labels)[0], tf.float32) + tf.reduce_sum(seen)
        share = tf.minimum(tf.cast(step.assign_add(1), tf.float32) / section.annealing_steps, 1.0)
        kl = tf.reduce_sum(kl_divergence(mean, log_variance))
        return (section.kl_weight * share * kl - gain) / tf.maximum(total, 1.0)

    return loss


def learn(task: Task[MultVaeParams]) -> tuple[Parts, Fitted]:
    """Return the parts after training."""
    section, start = task.section, first_parts(task)
    graph = MultVaeGraph(task.popularity, section.explore_catalogue, section.decay_days, start)
    learned = {name: tf.Variable(values, name=name) for name, values in start.items()}
    step = tf.Variable(0, trainable=False, name="step")
    fitted = fit_task(
        NAME,
        task,
        [*learned.values(), step],
        batches=request_batches(task.shop, section.batch_size),
        loss=build_loss(graph, learned, step, section),
        validate=ndcg_of_lists(graph, task.shop, lambda: graph.put(learned)),
    )
    return {name: variable.numpy() for name, variable in learned.items()}, fitted


FAMILY = BagFamily(NAME, MultVaeGraph, learn)
