"""Accounts that are not households: a guest account, a reseller, a shared card.

They are capped, not rejected: a request holds only their newest lines, and only a few of their
baskets are evaluated. The plan shows their sizes; their ids appear in the log only.
"""

import logging

import numpy as np

from pipeline.contracts.plan import HeavyAccount
from pipeline.planning.estimates import round_number
from pipeline.planning.history import History, Ints

log = logging.getLogger("evergreen.planning")


def build_heavy_accounts(history: History) -> tuple[HeavyAccount, ...]:
    """Return the sizes of the accounts above the maximum, the largest first."""
    lines = np.bincount(history.user, minlength=history.n_users())
    baskets = np.bincount(history.basket_user, minlength=history.n_users())
    return tuple(
        HeavyAccount(
            n_lines=int(lines[user]),
            n_baskets=int(baskets[user]),
            line_fraction=round_number(lines[user] / len(history.user)),
        )
        for user in _heavy_users(history, lines)
    )


def log_heavy_accounts(history: History) -> list[str]:
    """Log the ids of the accounts above the maximum, the largest first, and return them."""
    lines = np.bincount(history.user, minlength=history.n_users())
    heavy = _heavy_users(history, lines)
    for user in heavy:
        log.warning(
            "The account '%s' has %s purchase lines, more than shop.maximum_user_lines (%s): only "
            "the newest count. If it is a guest or reseller account, remove it from the source, or "
            "drop its labels in data/reviewed/labels.csv.",
            history.user_ids[user],
            f"{lines[user]:,}",
            f"{history.maximum_lines:,}",
        )
    return [str(history.user_ids[user]) for user in heavy]


def _heavy_users(history: History, lines: Ints) -> list[int]:
    if history.maximum_lines is None:
        return []
    heavy = np.flatnonzero(lines > history.maximum_lines)
    longest_first: list[int] = heavy[np.argsort(-lines[heavy], kind="stable")].tolist()
    return longest_first
