"""Frequency baselines: items that a user bought, decayed by age, then popular items.

They learn no parameters. All requests of a chunk are scored at once over sorted lines, without a
loop over baskets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.metrics import ranking
from pipeline.planning.history import MICROSECONDS_PER_DAY, History, Ints

Doubles = npt.NDArray[np.float64]

K = 10
CHUNK = 2000  # requests scored at once; a request's number takes the key's top 11 bits
PLACE_BITS = 21
ROW_SHIFT = PLACE_BITS + 31
MEASURES = {
    "recall@10": ranking.recall_at_k,
    "ndcg@10": ranking.ndcg_at_k,
    "hit_rate@10": ranking.hit_rate_at_k,
}


@dataclass(frozen=True)
class FrequencyBaseline:
    """Counts of a user's purchases with exponential decay.

    Attributes:
        decay_days: Time constant in days; None counts every purchase as one.
        since: Microseconds; earlier purchases do not count. None for all.
    """

    decay_days: float | None
    since: int | None = None

    def name(self) -> str:
        """Return the display name.

        >>> FrequencyBaseline(120.0).name(), FrequencyBaseline(None).name()
        ('personal, decayed over 120 days', 'personal frequency')
        """
        if self.decay_days is None:
            return "personal frequency"
        return f"personal, decayed over {self.decay_days:g} days"


@dataclass(frozen=True, eq=False)
class PlanningRequests:
    """Baskets to predict from the purchases strictly before each.

    Attributes:
        user: [n] user of each request.
        time: [n] moment of each request, microseconds.
        label_rows: [n_labels] request of each wanted item.
        label_items: [n_labels] the wanted items.
        n_warm: Number of requests with enough earlier baskets; if 0, all requests are kept.
    """

    user: Ints
    time: Ints
    label_rows: Ints
    label_items: Ints
    n_warm: int

    def n_true(self) -> Ints:
        """Return [n] the number of wanted items."""
        return np.bincount(self.label_rows, minlength=len(self.user))

    def measure(self, lists: Ints, metric: str) -> Doubles:
        """Return [n] the metric at 10 of each list."""
        hits = ranking.hit_matrix(lists, self.label_rows, self.label_items)
        return MEASURES[metric](hits, self.n_true(), K)


def select_requests(
    history: History, start: int, minimum_earlier: int, heavy: tuple[int, int] | None = None
) -> PlanningRequests:
    """Return requests for the baskets from `start` on of users with enough earlier baskets.

    Args:
        history: All lines.
        start: Microseconds.
        minimum_earlier: Minimum number of earlier baskets.
        heavy: Maximum number of baskets of a user, and the number drawn evenly over time from a
            user above it. None keeps all.
    """
    inside = history.basket_time >= start
    warm = inside & (history.basket_order >= minimum_earlier)
    chosen = np.flatnonzero(warm if warm.any() else inside)
    if heavy is not None:
        chosen = chosen[_evenly(history.basket_user[chosen], *heavy)]
    request_of_basket = np.full(len(history.basket_user), -1)
    request_of_basket[chosen] = np.arange(len(chosen))
    rows = request_of_basket[history.basket]
    wanted = rows >= 0
    return PlanningRequests(
        user=history.basket_user[chosen],
        time=history.basket_time[chosen],
        label_rows=rows[wanted],
        label_items=history.item[wanted],
        n_warm=int(warm.sum()),
    )


def _evenly(user: Ints, maximum: int, few: int) -> npt.NDArray[np.bool_]:
    """Return a mask of baskets, ordered by user and time: `few` of each user above `maximum`.

    >>> _evenly(np.array([0, 0, 0, 1, 1, 1, 1]), 3, 2).tolist()
    [True, True, True, False, True, False, True]
    """
    n = np.bincount(user)[user]
    rank = np.arange(len(user)) - np.searchsorted(user, user)
    step = np.where(n > maximum, few, n)
    return np.asarray((rank + 1) * step // n > rank * step // n)


def popular_items(
    history: History, until: int, days: int, users: npt.NDArray[np.bool_] | None = None
) -> Ints:
    """Return the 2k items of most baskets in the `days` before `until`, best first.

    Args:
        history: All lines.
        until: Microseconds.
        days: Length of the window.
        users: [n_users] mask of the users that count; None for all.
    """
    counted = (history.time < until) & (history.time >= until - days * MICROSECONDS_PER_DAY)
    if users is not None:
        counted &= users[history.user]
    counts = np.bincount(history.item[counted], minlength=history.n_items() + 1)
    best = np.argsort(-counts, kind="stable")[: 2 * K]
    return best[counts[best] > 0].astype(np.int64)


def personal_lists(
    history: History, requests: PlanningRequests, baselines: Sequence[FrequencyBaseline]
) -> list[Ints]:
    """Return, per baseline, [n, k] the user's repeat candidates by falling score; 0 pads."""
    lists = [np.zeros((len(requests.user), K), np.int64) for _ in baselines]
    for start in range(0, len(requests.user), CHUNK):
        chunk = slice(start, start + CHUNK)
        rows, lines = history.earlier.before(requests.user[chunk], requests.time[chunk])
        if len(rows):
            age = (requests.time[chunk][rows] - history.time[lines]) / MICROSECONDS_PER_DAY
            _score(history, (rows, lines, age), baselines, [part[chunk] for part in lists])
    return lists


def _score(
    history: History,
    pairs: tuple[Ints, Ints, Doubles],
    baselines: Sequence[FrequencyBaseline],
    lists: list[Ints],
) -> None:
    """Fill each of `lists` (views of one chunk) with its baseline's best repeat candidates."""
    rows, lines, age = pairs
    item = history.item[lines]
    starts = np.flatnonzero(np.r_[True, (np.diff(rows) != 0) | (np.diff(item) != 0)])
    decayed: dict[float | None, Doubles] = {}
    for baseline, target in zip(baselines, lists, strict=True):
        if baseline.decay_days not in decayed:
            decayed[baseline.decay_days] = (
                np.exp(-age / baseline.decay_days) if baseline.decay_days else np.ones_like(age)
            )
        weight = decayed[baseline.decay_days]
        since = baseline.since
        counts = np.ones(len(age), bool) if since is None else history.time[lines] >= since
        score = np.add.reduceat(np.where(counts, weight, 0.0), starts)
        latest = np.minimum.reduceat(age, starts)
        _write_best(rows[starts], item[starts], score, latest, target)


def _write_best(rows: Ints, item: Ints, score: Doubles, latest: Doubles, target: Ints) -> None:
    """Write the items with the k highest scores of each row to `target`.

    Ties go to the more recent item, then to the more popular one, whose number is lower. One sort
    of integer keys selects the items that can be among the best: row, falling score (the bits of a
    positive float rise with its value), position in the row. This is several times faster than a
    sort by several keys, but single precision merges close scores; so the selected items are then
    sorted exactly.
    """
    is_scored = score > 0
    rows, item = rows[is_scored], item[is_scored]
    score, latest = score[is_scored], latest[is_scored]
    if not len(rows):
        return
    first = np.searchsorted(rows, rows)
    position = np.arange(len(rows)) - first
    falling = np.iinfo(np.int32).max - score.astype(np.float32).view(np.int32).astype(np.int64)
    keys = np.sort((rows << ROW_SHIFT) | (falling << PLACE_BITS) | position)
    size = np.searchsorted(rows, rows, side="right") - first
    worst = (keys[first + np.minimum(size, K) - 1] >> PLACE_BITS) & np.iinfo(np.int32).max
    near = np.flatnonzero(falling <= worst)
    order = near[np.lexsort((item[near], latest[near], -score[near], rows[near]))]
    rank = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    head = rank < K
    target[rows[order][head], rank[head]] = item[order][head]


def fill_lists(lists: Ints, popular: Ints) -> Ints:
    """Return `lists` with empty places filled by popular items that they do not contain.

    >>> fill_lists(np.array([[7, 3, 0, 0]]), np.array([3, 1, 2, 5])).tolist()
    [[7, 3, 1, 2]]
    """
    n, k = lists.shape
    new = ~(popular[None, :, None] == lists[:, None, :]).any(axis=2)
    both = np.hstack([lists, np.where(new, popular[None, :], 0)])
    order = np.argsort(both == 0, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(both, order, axis=1).reshape(n, k)
