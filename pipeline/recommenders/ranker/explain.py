"""What each group of features adds to the network's score of an item, by taking it away.

A group is taken away by giving the item what the shopper's own items have on average. That is
done twice: from the item as it is, and with all other groups already taken away. The mean of the
two is the group's contribution. It is the Shapley value as far as groups interact in pairs, so two
groups that say much the same (how often, how lately) share what they add instead of both hiding
behind the other.

References:
    Shapley, 1953, "A value for n-person games"; Lundberg and Lee, 2017, arXiv:1705.07874.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Score = Callable[[tf.Tensor, int], tf.Tensor]

# What a shopper is told apart, though it is one group of features.
TOLD_APART: dict[str, tuple[str, ...]] = {
    "due": ("mean_gap", "gap_deviation", "due", "off_due", "late_in_deviations"),
    "store": ("like_store", "store_match", "store_lift", "store_decayed"),
    "hour": ("like_hour", "like_hour_day", "hour_match", "hour_lift", "hour_decayed"),
    "weekday": ("weekday_match",),
    "popularity": ("bought_7", "bought_28", "bought_ever", "trend"),
    "again": ("repeat_fraction",),
}


def told_apart(groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return for each feature, in their order, the group under which it is explained.

    >>> told_apart({"timing": ("days_since_last", "due"), "offers": ("mailer_now",)})
    {'days_since_last': 'timing', 'due': 'due', 'mailer_now': 'offers'}
    """
    finer = {name: group for group, names in TOLD_APART.items() for name in names}
    return {name: finer.get(name, group) for group, names in groups.items() for name in names}


def column_masks(owners: Sequence[str], groups: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return [n_groups, n_columns] whether a column belongs to a group.

    >>> column_masks(["a", "b", "a"], ["a", "b", "c"]).tolist()
    [[True, False, True], [False, True, False], [False, False, False]]
    """
    return np.asarray(np.array(groups)[:, np.newaxis] == np.array(owners))


def group_contributions(
    score: Score, actual: tf.Tensor, typical: tf.Tensor, mask: np.ndarray[Any, Any]
) -> tf.Tensor:
    """Return [m, n_groups] what each group adds to the score of each of m items.

    Args:
        score: From inputs [m * n_variants, width] and n_variants to [m * n_variants].
        actual: [m, width] the inputs of the items.
        typical: [m, width] what they would be with nothing special about the item.
        mask: [n_groups, width] which columns belong to each group.
    """
    n_groups = mask.shape[0]
    one, other = actual[:, tf.newaxis], typical[:, tf.newaxis]
    without, only = tf.where(mask, other, one), tf.where(mask, one, other)
    variants = tf.concat([one, other, without, only], axis=1)
    rows = tf.reshape(variants, [-1, mask.shape[1]])
    n_variants = 2 + 2 * n_groups
    scores = tf.reshape(score(rows, n_variants), [-1, n_variants])
    real, usual = scores[:, :1], scores[:, 1:2]
    without, only = scores[:, 2 : 2 + n_groups], scores[:, 2 + n_groups :]
    return ((real - without) + (only - usual)) / 2.0
