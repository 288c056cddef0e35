"""IRGAN: one network learns to tell what was bought, another to find what looks like it.

The discriminator scores a shopper and an item; it is what recommends. Its negatives are not drawn
at random: the generator, a softmax over the items, draws them, and is rewarded by policy gradient
when the discriminator takes them for bought. So the negatives become harder as both learn.

Design choices:

- Both learn in each step, from the same batch; neither sees the other's gradient.
- What was bought is never drawn as a negative.
- The reward is the discriminator's probability less its mean over the request, so that it says
  which of the drawn items was better, not how good the request was.
- The generator is paid for variety too. The hardest negatives of a shopper are what the shopper
  will buy next; a generator that draws nothing else teaches the wrong lesson.
- Both start from popularity: the first negatives are those of a popularity sampler.

References:
    Wang, Yu, Zhang, Gong, Xu, Wang, Zhang and Zhang, 2017, arXiv:1705.10513.
"""

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import IrganParams
from pipeline.recommenders.base.graph import SIGNATURE, Batch, read_batch
from pipeline.recommenders.base.top import NOTHING
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import ndcg_of_lists
from pipeline.recommenders.vectors.bag_fit import fit_task, log_shares, mean_of, request_batches
from pipeline.recommenders.vectors.bags import BagFamily, BagGraph, Parts, Task, mix

NAME = "irgan"


class IrganGraph(BagGraph):
    """items, bias: the discriminator's."""

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the weighted sum of the vectors of the items bought before."""
        return mix(self.unit_bag(batch), self.items, batch)


def draw(logits: tf.Tensor, labels: tf.Tensor, n_negatives: int, seed: tf.Tensor) -> tf.Tensor:
    """Return [n, n_negatives] items drawn from the softmax of what was not bought.

    Args:
        logits: [n, n_items] of the generator; index 0 is never drawn.
        labels: [n_labels, 2] request and item index: what was bought.
        n_negatives: How many, with replacement.
        seed: [2].
    """
    open_to = tf.tensor_scatter_nd_update(logits, labels, tf.fill(tf.shape(labels)[:1], NOTHING))
    drawn = tf.random.stateless_categorical(open_to[:, 1:], n_negatives, seed, dtype=tf.int32)
    return drawn + 1


def generator_loss(
    logits: tf.Tensor, drawn: tf.Tensor, reward: tf.Tensor, entropy_weight: float
) -> tf.Tensor:
    """Return a scalar whose gradient is the policy gradient (REINFORCE with a baseline).

    Args:
        logits: [n, n_items].
        drawn: [n, n_negatives] items that were drawn from them.
        reward: [n, n_negatives] of each; its mean over the request is taken off.
        entropy_weight: What a nat of variety is worth. In the end the draw is the softmax of
            reward / entropy_weight; without it, it is one item, and always the same.
    """
    advantage = tf.stop_gradient(reward - tf.reduce_mean(reward, axis=1, keepdims=True))
    log_probability = tf.nn.log_softmax(logits[:, 1:], axis=1)
    taken = tf.gather(log_probability, drawn - 1, batch_dims=1)
    entropy = -tf.reduce_sum(tf.exp(log_probability) * log_probability, axis=1)
    return -tf.reduce_mean(advantage * taken) - entropy_weight * tf.reduce_mean(entropy)


def discriminator_loss(
    logits: tf.Tensor, labels: tf.Tensor, drawn: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the cross-entropy of telling bought from drawn, and the logits of what was drawn.

    Args:
        logits: [n, n_items].
        labels: [n_labels, 2] request and item index.
        drawn: [n, n_negatives].
    """
    bought = tf.gather_nd(logits, labels)
    false = tf.gather(logits, drawn, batch_dims=1)
    return mean_of(tf.nn.softplus(-bought)) + mean_of(tf.nn.softplus(false)), false


def learn(task: Task[IrganParams]) -> tuple[Parts, Fitted]:
    """Return the discriminator's parts after both have trained."""
    section, random = task.section, np.random.default_rng(task.seed)
    shares = log_shares(task.shop)
    n_items = len(shares)

    def first() -> dict[str, tf.Variable]:
        items = random.normal(0.0, 0.1, (n_items, section.embedding_dim)).astype(np.float32)
        return {"items": tf.Variable(items), "bias": tf.Variable(shares)}

    discriminator, generator = first(), first()
    discriminator["bias"].assign(shares - shares.mean())
    start = {name: values.numpy() for name, values in discriminator.items()}
    graph = IrganGraph(task.popularity, section.explore_catalogue, section.decay_days, start)

    def logits_of(player: dict[str, tf.Variable], batch: Batch) -> tf.Tensor:
        users = mix(graph.unit_bag(batch), player["items"], batch)
        return tf.matmul(users, player["items"], transpose_b=True) + player["bias"]

    def loss(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-2], strict=True)))
        labels, seed = inputs[-2:]
        policy = logits_of(generator, batch)
        drawn = draw(tf.stop_gradient(policy), labels, section.n_negatives, seed)
        told, false = discriminator_loss(logits_of(discriminator, batch), labels, drawn)
        reward = tf.sigmoid(tf.stop_gradient(false))
        return told + generator_loss(policy, drawn, reward, section.entropy_weight)

    fitted = fit_task(
        NAME,
        task,
        [*discriminator.values(), *generator.values()],
        batches=request_batches(task.shop, section.batch_size),
        loss=loss,
        validate=ndcg_of_lists(graph, task.shop, lambda: graph.put(discriminator)),
    )
    return {name: variable.numpy() for name, variable in discriminator.items()}, fitted


FAMILY = BagFamily(NAME, IrganGraph, learn)
