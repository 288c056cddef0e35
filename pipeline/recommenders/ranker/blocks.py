"""Numbers with names, put together at the end: few large operations, not many small ones.

One row per name: rows lie together in memory, columns would be copied number by number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class FeatureBlock(NamedTuple):
    """Some features of n things.

    Attributes:
        names: Of the features; one that nobody wants is left out in the end.
        rows: [n_names, n].
        logged: Whether log(1 + value) is wanted.
    """

    names: tuple[str, ...]
    rows: tf.Tensor
    logged: bool = False


def block(
    names: Sequence[str], values: tf.Tensor | Sequence[tf.Tensor], *, logged: bool = False
) -> FeatureBlock:
    """Return a block of values [n, n_names], or of one [n] for each name."""
    rows = tf.transpose(values) if tf.is_tensor(values) else tf.stack(list(values))
    return FeatureBlock(tuple(names), rows, logged)


def assembled(blocks: Sequence[FeatureBlock], names: Sequence[str]) -> tf.Tensor:
    """Return [len(names), n] the features by the names that are wanted, in their order."""
    logged = [each for each in blocks if each.logged]
    plain = [each for each in blocks if not each.logged]
    parts = [each.rows for each in plain]
    if logged:
        parts.append(tf.math.log1p(tf.concat([each.rows for each in logged], axis=0)))
    have = [name for each in (*plain, *logged) for name in each.names]
    return tf.gather(tf.concat(parts, axis=0), [have.index(name) for name in names])
