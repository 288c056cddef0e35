"""Counting as a recommender: what a user bought, decayed by age, then what is popular.

No parameters are learned, so it shows what the data alone can give. All requests of a chunk are
scored at once over sorted lines; there is no loop over baskets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.metrics import ranking
from pipeline.planning.history import MICROSECONDS_PER_DAY, History, Ints

Doubles = npt.NDArray[np.float64]

K = 10
CHUNK = 2000  # requests that are scored at once; their number takes the key's top 11 bits
PLACE_BITS = 21
ROW_SHIFT = PLACE_BITS + 31
MEASURES = {
    "recall@10": ranking.recall_at_k,
    "ndcg@10": ranking.ndcg_at_k,
    "hit_rate@10": ranking.hit_rate_at_k,
}


@dataclass(frozen=True)
class Counting:
    """A way to count: an exponential decay in days (None: every purchase counts as one).

    Purchases before `since` (microseconds) do not count.
    """

    decay_days: float | None
    since: int | None = None

    def name(self) -> str:
        """Return the name that people read.

        >>> Counting(120.0).name(), Counting(None).name()
        ('personal, decayed over 120 days', 'personal frequency')
        """
        if self.decay_days is None:
            return "personal frequency"
        return f"personal, decayed over {self.decay_days:g} days"


@dataclass(frozen=True, eq=False)
class CountingRequests:
    """Baskets to predict from what came strictly before each.

    Attributes:
        user: [n].
        time: [n] microseconds.
        label_rows: [n_labels] the request that each wanted item belongs to.
        label_items: [n_labels].
        n_warm: how many have enough earlier baskets; when none has, all are kept.
    """

    user: Ints
    time: Ints
    label_rows: Ints
    label_items: Ints
    n_warm: int

    def n_true(self) -> Ints:
        """Return [n] how many items were wanted."""
        return np.bincount(self.label_rows, minlength=len(self.user))

    def measure(self, lists: Ints, metric: str) -> Doubles:
        """Return [n] the metric of each list at 10."""
        hits = ranking.hit_matrix(lists, self.label_rows, self.label_items)
        return MEASURES[metric](hits, self.n_true(), K)


def requests_between(
    history: History, start: int, minimum_earlier: int, heavy: tuple[int, int] | None = None
) -> CountingRequests:
    """Return the baskets that begin at `start` or later, of users with enough earlier ones.

    Args:
        history: All lines.
        start: Microseconds.
        minimum_earlier: How many earlier baskets are enough.
        heavy: More baskets than any household has, and how many of such a user's are chosen, evenly
            over time. None for all.
    """
    inside = history.basket_time >= start
    warm = inside & (history.basket_order >= minimum_earlier)
    chosen = np.flatnonzero(warm if warm.any() else inside)
    if heavy is not None:
        chosen = chosen[_evenly(history.basket_user[chosen], *heavy)]
    place = np.full(len(history.basket_user), -1)
    place[chosen] = np.arange(len(chosen))
    rows = place[history.basket]
    wanted = rows >= 0
    return CountingRequests(
        user=history.basket_user[chosen],
        time=history.basket_time[chosen],
        label_rows=rows[wanted],
        label_items=history.item[wanted],
        n_warm=int(warm.sum()),
    )


def _evenly(user: Ints, maximum: int, few: int) -> npt.NDArray[np.bool_]:
    """Return which baskets, ordered by user and time, count: `few` of who has above `maximum`.

    >>> _evenly(np.array([0, 0, 0, 1, 1, 1, 1]), 3, 2).tolist()
    [True, True, True, False, True, False, True]
    """
    n = np.bincount(user)[user]
    place = np.arange(len(user)) - np.searchsorted(user, user)
    step = np.where(n > maximum, few, n)
    return np.asarray((place + 1) * step // n > place * step // n)


def popular_items(
    history: History, until: int, days: int, users: npt.NDArray[np.bool_] | None = None
) -> Ints:
    """Return the 2k items that most baskets held in the `days` before `until`, best first.

    Args:
        history: All lines.
        until: Microseconds.
        days: Length of the window.
        users: [n_users] whose baskets count; None for all.
    """
    counted = (history.time < until) & (history.time >= until - days * MICROSECONDS_PER_DAY)
    if users is not None:
        counted &= users[history.user]
    counts = np.bincount(history.item[counted], minlength=history.n_items() + 1)
    best = np.argsort(-counts, kind="stable")[: 2 * K]
    return best[counts[best] > 0].astype(np.int64)


def personal_lists(
    history: History, requests: CountingRequests, ways: Sequence[Counting]
) -> list[Ints]:
    """Return, per way to count, [n, k] the user's own items by falling score; 0 = no more."""
    lists = [np.zeros((len(requests.user), K), np.int64) for _ in ways]
    for start in range(0, len(requests.user), CHUNK):
        chunk = slice(start, start + CHUNK)
        rows, lines = history.earlier.before(requests.user[chunk], requests.time[chunk])
        if len(rows):
            age = (requests.time[chunk][rows] - history.time[lines]) / MICROSECONDS_PER_DAY
            _score(history, (rows, lines, age), ways, [part[chunk] for part in lists])
    return lists


def _score(
    history: History,
    pairs: tuple[Ints, Ints, Doubles],
    ways: Sequence[Counting],
    lists: list[Ints],
) -> None:
    """Fill each of `lists` (views of one chunk) with the best own items by its way to count."""
    rows, lines, age = pairs
    item = history.item[lines]
    starts = np.flatnonzero(np.r_[True, (np.diff(rows) != 0) | (np.diff(item) != 0)])
    decayed: dict[float | None, Doubles] = {}
    for way, target in zip(ways, lists, strict=True):
        if way.decay_days not in decayed:
            decayed[way.decay_days] = (
                np.exp(-age / way.decay_days) if way.decay_days else np.ones_like(age)
            )
        weight = decayed[way.decay_days]
        counts = np.ones(len(age), bool) if way.since is None else history.time[lines] >= way.since
        score = np.add.reduceat(np.where(counts, weight, 0.0), starts)
        latest = np.minimum.reduceat(age, starts)
        _place_best(rows[starts], item[starts], score, latest, target)


def _place_best(rows: Ints, item: Ints, score: Doubles, latest: Doubles, target: Ints) -> None:
    """Write the items of the k highest scores of each row.

    Equal scores: the more recent first, then the more popular, whose number is lower. One sort of
    whole numbers leaves what can be among the best: row, then falling score (the bits of a positive
    float rise with it), then place in the row. It is several times faster than sorting all by
    several keys, but single precision merges close scores, so the few that are left are sorted
    exactly.
    """
    kept = score > 0
    rows, item, score, latest = rows[kept], item[kept], score[kept], latest[kept]
    if not len(rows):
        return
    first = np.searchsorted(rows, rows)
    place = np.arange(len(rows)) - first
    falling = np.iinfo(np.int32).max - score.astype(np.float32).view(np.int32).astype(np.int64)
    keys = np.sort((rows << ROW_SHIFT) | (falling << PLACE_BITS) | place)
    size = np.searchsorted(rows, rows, side="right") - first
    worst = (keys[first + np.minimum(size, K) - 1] >> PLACE_BITS) & np.iinfo(np.int32).max
    near = np.flatnonzero(falling <= worst)
    order = near[np.lexsort((item[near], latest[near], -score[near], rows[near]))]
    rank = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    head = rank < K
    target[rows[order][head], rank[head]] = item[order][head]


def filled(lists: Ints, popular: Ints) -> Ints:
    """Return `lists` with their empty places taken by popular items that are not in them.

    >>> filled(np.array([[7, 3, 0, 0]]), np.array([3, 1, 2, 5])).tolist()
    [[7, 3, 1, 2]]
    """
    n, k = lists.shape
    new = ~(popular[None, :, None] == lists[:, None, :]).any(axis=2)
    both = np.hstack([lists, np.where(new, popular[None, :], 0)])
    order = np.argsort(both == 0, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(both, order, axis=1).reshape(n, k)
