"""Pre-norm blocks of causal self-attention over a sequence of items.

Sequences start at position 0 and are padded on the right. The causal mask excludes the padding,
so no other mask is needed.

References:
    Kang and McAuley, 2018, arXiv:1808.09781 (SASRec).
    Xiong et al., 2020, arXiv:2002.04745 (pre-norm).
"""

from typing import Any

import keras
import tensorflow as tf

from pipeline.recommenders.sequence.sampled_losses import NEVER

FEED_FORWARD = 2
SMALL = 0.02


class AttentionBlock(keras.layers.Layer):
    """Causal attention, then two dense layers, both with residual connections."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self._n_heads = n_heads
        small = keras.initializers.RandomNormal(stddev=SMALL)
        self._norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self._mix = keras.layers.Dense(3 * dim, use_bias=False)
        self._out = keras.layers.Dense(dim, use_bias=False, kernel_initializer=small)
        self._wide = keras.layers.Dense(FEED_FORWARD * dim, activation="relu")
        self._narrow = keras.layers.Dense(dim, kernel_initializer=small)
        self._dropouts = [keras.layers.Dropout(dropout) for _ in range(2)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the layers for [n, width, dim]."""
        dim = input_shape[-1]
        for layer in (*self._norms, self._mix, self._out, self._wide):
            layer.build(input_shape)
        self._narrow.build((*input_shape[:-1], FEED_FORWARD * int(dim or 0)))
        self.built = True

    def call(self, x: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return [n, width, dim]."""
        attended = self._out(self._attend(self._mix(self._norms[0](x))))
        x += self._dropouts[0](attended, training=training)
        fed = self._narrow(self._wide(self._norms[1](x)))
        return x + self._dropouts[1](fed, training=training)

    def _attend(self, mixed: tf.Tensor) -> tf.Tensor:
        """Return [n, width, dim] values, weighted by the softmax over earlier positions."""
        n, width, dim = tf.shape(mixed)[0], tf.shape(mixed)[1], mixed.shape[-1] // 3
        size = dim // self._n_heads
        heads = tf.reshape(mixed, tf.stack([n, width, 3, self._n_heads, size]))
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        fits = tf.matmul(query * size**-0.5, key, transpose_b=True)
        later = 1.0 - tf.linalg.band_part(tf.ones(tf.stack([width, width])), -1, 0)
        weights = tf.nn.softmax(fits + NEVER * later)
        return tf.reshape(
            tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3]), tf.stack([n, width, dim])
        )


class SequenceNetwork(keras.Model):
    """Maps a sequence of item codes to a vector per position, which scores the next item."""

    def __init__(
        self,
        n_codes: int,
        *,
        dim: int,
        n_blocks: int,
        n_heads: int,
        max_length: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self._blocks = [AttentionBlock(dim, n_heads, dropout) for _ in range(n_blocks)]
        self._norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self._dropout = keras.layers.Dropout(dropout)
        small = keras.initializers.RandomNormal(stddev=SMALL)
        self.table = self.add_weight(shape=(n_codes, dim), initializer=small, name="items")
        self.bias = self.add_weight(shape=(n_codes,), initializer="zeros", name="bias")
        self._positions = self.add_weight(
            shape=(max_length, dim), initializer=small, name="positions"
        )
        self._scale = dim**0.5
        for block in self._blocks:
            block.build((None, None, dim))
        self._norm.build((None, None, dim))
        self.built = True

    def call(self, codes: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return [n, width, dim] for [n, width] codes; width is at most `max_length`."""
        return self.from_vectors(tf.gather(self.table, codes), training=training)

    def from_vectors(self, vectors: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return [n, width, dim] for [n, width, dim] rows of `table`."""
        positions = tf.convert_to_tensor(self._positions)[: tf.shape(vectors)[1]]
        x = self._dropout((vectors + positions) * self._scale, training=training)
        for block in self._blocks:
            x = block(x, training=training)
        return self._norm(x)

    def get_config(self) -> dict[str, Any]:
        """Raise NotImplementedError: the network is saved inside its graph."""
        raise NotImplementedError
