"""The ceiling: which wanted items each candidate generator could have offered at all."""

import numpy as np
import numpy.typing as npt

from pipeline.contracts.plan import Reach
from pipeline.planning.counting import MEASURES, CountingRequests, Doubles, K
from pipeline.planning.estimates import rounded
from pipeline.planning.history import History, Ints

Bools = npt.NDArray[np.bool_]

OWN_ITEMS = "own history"
EXPLORE = "own history and the popular items to explore"
OWN_TYPES = "own history and known items of own types"
CATALOGUE = "all items sold before"


def reaches(
    history: History, requests: CountingRequests, *, n_explore: int, until: int, metric: str
) -> tuple[Reach, ...]:
    """Return how much each generator reaches, the narrowest first.

    Args:
        history: All lines.
        requests: What was wanted.
        n_explore: How many of the most popular items the explore head chooses from.
        until: Those are the most popular before this moment, microseconds.
        metric: Of a perfect ranking of the candidates.
    """
    found = reachable(history, requests, n_explore=n_explore, until=until)
    return tuple(_reach(name, mask, requests, metric) for name, mask in found.items())


def best_values(reached: Bools, requests: CountingRequests, metric: str) -> Doubles:
    """Return [n] the metric when every reachable wanted item stands first."""
    n_hits = np.bincount(requests.label_rows[reached], minlength=len(requests.user))
    hits = np.arange(K)[None, :] < n_hits[:, None]
    return MEASURES[metric](hits, requests.n_true(), K)


def reachable(
    history: History, requests: CountingRequests, *, n_explore: int, until: int
) -> dict[str, Bools]:
    """Return, per generator, [n_labels] whether the wanted item is among its candidates."""
    user, now = requests.user[requests.label_rows], requests.time[requests.label_rows]
    item = requests.label_items
    width = history.n_items() + 1
    own = _first(history.user * width + history.item, history.time, user * width + item) < now
    known = _first(history.item, history.time, item) < now
    kind, asked = history.item_type[history.item], history.item_type[item]
    n_types = int(history.item_type.max()) + 1
    bought = _first(history.user * n_types + kind, history.time, user * n_types + asked) < now
    counts = np.bincount(history.item[history.time < until], minlength=width)
    explored = np.argsort(-counts, kind="stable")[:n_explore]
    popular = np.isin(item, explored[counts[explored] > 0])
    return {
        OWN_ITEMS: own,
        EXPLORE: own | popular,
        OWN_TYPES: own | (known & bought & (asked > 0)),
        CATALOGUE: known,
    }


def repeat_fractions(history: History) -> tuple[float, float]:
    """Return which share of a basket was bought before by the same user: items, and types.

    Means over baskets that are not a user's first; items of unknown type count as new.
    """
    later = np.flatnonzero(history.basket_order > 0)
    if not len(later):
        return 0.0, 0.0
    width, n_types = history.n_items() + 1, int(history.item_type.max()) + 1
    kind = history.item_type[history.item]
    size = np.bincount(history.basket, minlength=len(history.basket_user))
    shares = []
    for keys, counted in (
        (history.user * width + history.item, np.ones(len(kind), bool)),
        (history.user * n_types + kind, kind > 0),
    ):
        again = (_first(keys, history.time, keys) < history.time) & counted
        shares.append(np.bincount(history.basket, again, minlength=len(size)) / size)
    return rounded(shares[0][later].mean()), rounded(shares[1][later].mean())


def _first(keys: Ints, time: Ints, asked: Ints) -> Ints:
    """Return when each of `asked` first happened; the largest integer for never."""
    known, place = np.unique(keys, return_inverse=True)
    first = np.full(len(known), np.iinfo(np.int64).max)
    np.minimum.at(first, place, time)
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[at] == asked, first[at], np.iinfo(np.int64).max)


def _reach(name: str, mask: Bools, requests: CountingRequests, metric: str) -> Reach:
    share = np.bincount(requests.label_rows, mask, minlength=len(requests.user))
    return Reach(
        name=name,
        reachable_fraction=rounded((share / requests.n_true()).mean()),
        best_metric=rounded(best_values(mask, requests, metric).mean()),
    )
