"""The ceiling: the wanted items among the candidates of each candidate generator."""

import numpy as np
import numpy.typing as npt

from pipeline.contracts.plan import Reach
from pipeline.planning.estimates import round_number
from pipeline.planning.frequency import MEASURES, Doubles, K, PlanningRequests
from pipeline.planning.history import History, Ints

Bools = npt.NDArray[np.bool_]

OWN_HISTORY = "own history"
EXPLORE = "own history and the popular items to explore"
SAME_TYPES = "own history and known items of own types"
CATALOGUE = "all items sold before"


def measure_reach(
    history: History, requests: PlanningRequests, *, n_explore: int, until: int, metric: str
) -> tuple[Reach, ...]:
    """Return the ceiling of each generator, the narrowest first.

    Args:
        history: All lines.
        requests: The baskets to predict.
        n_explore: Number of popular items that the explore head chooses from.
        until: Moment before which popularity is measured, microseconds.
        metric: Metric of a perfect ranking of the candidates.
    """
    masks = find_reachable(history, requests, n_explore=n_explore, until=until)
    return tuple(_reach(name, mask, requests, metric) for name, mask in masks.items())


def best_values(reached: Bools, requests: PlanningRequests, metric: str) -> Doubles:
    """Return [n] the metric of a perfect ranking of the reachable items."""
    n_hits = np.bincount(requests.label_rows[reached], minlength=len(requests.user))
    hits = np.arange(K)[None, :] < n_hits[:, None]
    return MEASURES[metric](hits, requests.n_true(), K)


def find_reachable(
    history: History, requests: PlanningRequests, *, n_explore: int, until: int
) -> dict[str, Bools]:
    """Return, per generator, an [n_labels] mask of the wanted items among its candidates."""
    user, now = requests.user[requests.label_rows], requests.time[requests.label_rows]
    item = requests.label_items
    width = history.n_items() + 1
    repeats = _first(history.user * width + history.item, history.time, user * width + item) < now
    known = _first(history.item, history.time, item) < now
    kind, label_type = history.item_type[history.item], history.item_type[item]
    n_types = int(history.item_type.max()) + 1
    bought = _first(history.user * n_types + kind, history.time, user * n_types + label_type) < now
    counts = np.bincount(history.item[history.time < until], minlength=width)
    explored = np.argsort(-counts, kind="stable")[:n_explore]
    popular = np.isin(item, explored[counts[explored] > 0])
    return {
        OWN_HISTORY: repeats,
        EXPLORE: repeats | popular,
        SAME_TYPES: repeats | (known & bought & (label_type > 0)),
        CATALOGUE: known,
    }


def repeat_fractions(history: History) -> tuple[float, float]:
    """Return the share of a basket that the user had bought before, by item and by type.

    Both are means over all baskets but each user's first; items of unknown type count as new.
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
    return round_number(shares[0][later].mean()), round_number(shares[1][later].mean())


def _first(keys: Ints, time: Ints, queries: Ints) -> Ints:
    """Return the first time of each key in `queries`; the largest integer for never."""
    known, code = np.unique(keys, return_inverse=True)
    first = np.full(len(known), np.iinfo(np.int64).max)
    np.minimum.at(first, code, time)
    at = np.minimum(np.searchsorted(known, queries), len(known) - 1)
    return np.where(known[at] == queries, first[at], np.iinfo(np.int64).max)


def _reach(name: str, mask: Bools, requests: PlanningRequests, metric: str) -> Reach:
    share = np.bincount(requests.label_rows, mask, minlength=len(requests.user))
    return Reach(
        name=name,
        reachable_fraction=round_number((share / requests.n_true()).mean()),
        best_metric=round_number(best_values(mask, requests, metric).mean()),
    )
