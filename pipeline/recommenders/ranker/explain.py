"""Contribution of each group of features to the network's score of an item, by ablation.

Ablating a group replaces its features by their average over the user's repeat candidates. Each
group is ablated twice: from the actual item, and with all other groups already ablated. The mean
of the two differences is the group's contribution. It equals the Shapley value if groups interact
only in pairs, so correlated groups (frequency, recency) share their contribution.

References:
    Shapley, 1953, "A value for n-person games"; Lundberg and Lee, 2017, arXiv:1705.07874.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Score = Callable[[tf.Tensor, int], tf.Tensor]

# Explanations split these groups out of the groups of features.
FINER_GROUPS: dict[str, tuple[str, ...]] = {
    "due": ("mean_gap", "gap_deviation", "due", "off_due", "late_in_deviations"),
    "store": ("like_store", "store_match", "store_lift", "store_decayed"),
    "hour": ("like_hour", "like_hour_day", "hour_match", "hour_lift", "hour_decayed"),
    "weekday": ("weekday_match",),
    "popularity": ("bought_7", "bought_28", "bought_ever", "trend"),
    "again": ("repeat_fraction",),
}


def split_groups(groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the explanation group of each feature, in the order of the features.

    >>> split_groups({"timing": ("days_since_last", "due"), "offers": ("mailer_now",)})
    {'days_since_last': 'timing', 'due': 'due', 'mailer_now': 'offers'}
    """
    finer = {name: group for group, names in FINER_GROUPS.items() for name in names}
    return {name: finer.get(name, group) for group, names in groups.items() for name in names}


def column_masks(owners: Sequence[str], groups: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return [n_groups, n_columns] whether each column belongs to each group.

    >>> column_masks(["a", "b", "a"], ["a", "b", "c"]).tolist()
    [[True, False, True], [False, True, False], [False, False, False]]
    """
    return np.asarray(np.array(groups)[:, np.newaxis] == np.array(owners))


def group_contributions(
    score: Score, actual: tf.Tensor, typical: tf.Tensor, mask: np.ndarray[Any, Any]
) -> tf.Tensor:
    """Return [m, n_groups] the contribution of each group to the score of each of m items.

    Args:
        score: Maps inputs [m * n_variants, width] and n_variants to [m * n_variants] scores.
        actual: [m, width] inputs of the items.
        typical: [m, width] inputs of the average candidate.
        mask: [n_groups, width] whether each column belongs to each group.
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
