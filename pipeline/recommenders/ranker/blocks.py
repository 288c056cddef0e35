"""Blocks of named features, concatenated in few large operations.

A block holds one row per name, because rows are contiguous in memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class FeatureBlock(NamedTuple):
    """Named features of n pairs.

    Attributes:
        names: Names of the features; `assemble` drops those that are not requested.
        rows: [n_names, n] values.
        logged: Whether `assemble` applies log(1 + value).
    """

    names: tuple[str, ...]
    rows: tf.Tensor
    logged: bool = False


def build_block(
    names: Sequence[str], values: tf.Tensor | Sequence[tf.Tensor], *, logged: bool = False
) -> FeatureBlock:
    """Return a block of [n, n_names] values, or of one [n] tensor per name."""
    rows = tf.transpose(values) if tf.is_tensor(values) else tf.stack(list(values))
    return FeatureBlock(tuple(names), rows, logged)


def assemble(blocks: Sequence[FeatureBlock], names: Sequence[str]) -> tf.Tensor:
    """Return [len(names), n] the features in the order of `names`."""
    logged = [block for block in blocks if block.logged]
    plain = [block for block in blocks if not block.logged]
    parts = [block.rows for block in plain]
    if logged:
        parts.append(tf.math.log1p(tf.concat([block.rows for block in logged], axis=0)))
    have = [name for block in (*plain, *logged) for name in block.names]
    return tf.gather(tf.concat(parts, axis=0), [have.index(name) for name in names])
