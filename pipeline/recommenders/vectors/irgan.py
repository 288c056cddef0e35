"""IRGAN: a generator draws hard negatives for a discriminator that recommends.

The discriminator scores a user and an item, and ranks the recommendations. The generator, a
softmax over the items, draws its negatives. A policy gradient rewards the generator if the
discriminator scores a negative as bought, so the negatives become harder during training.

Design choices:

- Both networks learn in each step from the same batch; neither sees the other's gradient.
- Labels are never drawn as negatives.
- The reward is the discriminator's probability minus its mean over the request, so that it
  compares the drawn items of a request rather than requests.
- The generator also earns an entropy bonus. Otherwise it draws only the items that the user buys
  next, which are the hardest negatives, and the discriminator learns to reject them.
- Both networks start from popularity, so the first negatives are those of a popularity sampler.

References:
    Wang, Yu, Zhang, Gong, Xu, Wang, Zhang and Zhang, 2017, arXiv:1705.10513.
"""

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import IrganParams
from pipeline.recommenders.base.batch import SIGNATURE, Batch, read_batch
from pipeline.recommenders.base.top_k import NOTHING
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import build_list_validation
from pipeline.recommenders.vectors.bag_fit import (
    build_request_batches,
    fit_task,
    log_shares,
    mean_of,
)
from pipeline.recommenders.vectors.bags import BagFamily, BagGraph, Parts, Task, sum_rows

NAME = "irgan"


class IrganGraph(BagGraph):
    """Graph of the discriminator's item vectors and biases."""

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the weighted sum of the vectors of the items bought before."""
        return sum_rows(self.unit_bag(batch), self.items, batch)


def draw(logits: tf.Tensor, labels: tf.Tensor, n_negatives: int, seed: tf.Tensor) -> tf.Tensor:
    """Return [n, n_negatives] items drawn from the softmax over items that are no labels.

    Args:
        logits: [n, n_items] logits of the generator; index 0 is never drawn.
        labels: [n_labels, 2] request and item index of the labels.
        n_negatives: Number of draws per request, with replacement.
        seed: [2] seed of the draw.
    """
    open_to = tf.tensor_scatter_nd_update(logits, labels, tf.fill(tf.shape(labels)[:1], NOTHING))
    drawn = tf.random.stateless_categorical(open_to[:, 1:], n_negatives, seed, dtype=tf.int32)
    return drawn + 1


def generator_loss(
    logits: tf.Tensor, drawn: tf.Tensor, reward: tf.Tensor, entropy_weight: float
) -> tf.Tensor:
    """Return a scalar whose gradient is the policy gradient (REINFORCE with a baseline).

    Args:
        logits: [n, n_items] logits of the generator.
        drawn: [n, n_negatives] items drawn from the softmax of the logits.
        reward: [n, n_negatives] reward of each item; the mean over the request is subtracted.
        entropy_weight: Reward of one nat of entropy. The draw converges to the softmax of
            reward / entropy_weight, and without the bonus to a single item.
    """
    advantage = tf.stop_gradient(reward - tf.reduce_mean(reward, axis=1, keepdims=True))
    log_probability = tf.nn.log_softmax(logits[:, 1:], axis=1)
    taken = tf.gather(log_probability, drawn - 1, batch_dims=1)
    entropy = -tf.reduce_sum(tf.exp(log_probability) * log_probability, axis=1)
    return -tf.reduce_mean(advantage * taken) - entropy_weight * tf.reduce_mean(entropy)


def discriminator_loss(
    logits: tf.Tensor, labels: tf.Tensor, drawn: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the cross-entropy of labels against drawn items, and the logits of the drawn items.

    Args:
        logits: [n, n_items].
        labels: [n_labels, 2] request and item index.
        drawn: [n, n_negatives].
    """
    bought = tf.gather_nd(logits, labels)
    false = tf.gather(logits, drawn, batch_dims=1)
    return mean_of(tf.nn.softplus(-bought)) + mean_of(tf.nn.softplus(false)), false


def learn(task: Task[IrganParams]) -> tuple[Parts, Fitted]:
    """Train both networks and return the parts of the discriminator."""
    section, random = task.section, np.random.default_rng(task.seed)
    shares = log_shares(task.data)
    n_items = len(shares)

    def initial_parts() -> dict[str, tf.Variable]:
        items = random.normal(0.0, 0.1, (n_items, section.embedding_dim)).astype(np.float32)
        return {"items": tf.Variable(items), "bias": tf.Variable(shares)}

    discriminator, generator = initial_parts(), initial_parts()
    discriminator["bias"].assign(shares - shares.mean())
    start = {name: values.numpy() for name, values in discriminator.items()}
    graph = IrganGraph(task.popularity, section.explore_catalogue, section.decay_days, start)

    def logits_of(player: dict[str, tf.Variable], batch: Batch) -> tf.Tensor:
        users = sum_rows(graph.unit_bag(batch), player["items"], batch)
        return tf.matmul(users, player["items"], transpose_b=True) + player["bias"]

    def loss(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-2], strict=True)))
        labels, seed = inputs[-2:]
        policy = logits_of(generator, batch)
        drawn = draw(tf.stop_gradient(policy), labels, section.n_negatives, seed)
        discriminator_value, false = discriminator_loss(
            logits_of(discriminator, batch), labels, drawn
        )
        reward = tf.sigmoid(tf.stop_gradient(false))
        return discriminator_value + generator_loss(policy, drawn, reward, section.entropy_weight)

    fitted = fit_task(
        NAME,
        task,
        [*discriminator.values(), *generator.values()],
        batches=build_request_batches(task.data, section.batch_size),
        loss=loss,
        validate=build_list_validation(graph, task.data, lambda: graph.put(discriminator)),
    )
    return {name: variable.numpy() for name, variable in discriminator.items()}, fitted


FAMILY = BagFamily(NAME, IrganGraph, learn)
