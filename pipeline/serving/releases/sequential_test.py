"""Is the canary worse than the champion? A sequential test on sums per bucket of users.

Design choices:

- A hash assigns each user to one of 1,000 buckets, and the first `share` of the buckets belong to
  the canary. The bucket is the unit of randomisation, so it is the unit of the test: answers to one
  user are not independent.
- Under "no worse" the buckets are exchangeable. Errors are rare, so their test is exact
  (hypergeometric: how many of the buckets with an error belong to the canary); means use the
  permutation variance and a normal tail.
- The k-th interim test spends 6 / (pi k)^2 of the level, a third of it on each metric. Over all
  interim tests, a canary that is no worse is stopped with at most that probability;
  tests/unit/serving/releases/test_sequential_test.py checks this by simulation.
"""

import math
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

N_BUCKETS = 1_000
ANSWERS, SECONDS, ERRORS, HITS = range(4)
N_TESTS = 3
MINIMUM_BUCKETS = 20  # per side; the normal tail needs about this many

Floats = npt.NDArray[np.float64]


def bucket_of(version: str, user_id: str) -> int:
    """Return a user's bucket, 0 to 999; each canary version draws new buckets.

    >>> bucket_of("0123456789ab", "ann") == bucket_of("0123456789ab", "ann")
    True
    """
    digest = blake2b(f"{version}:{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % N_BUCKETS


@dataclass(frozen=True)
class Deterioration:
    """A metric in which the canary is significantly worse.

    Attributes:
        metric: errors, latency or hits.
        numbers: The values of both sides, in words.
    """

    metric: str
    numbers: str


@dataclass
class SequentialTest:
    """Answers, seconds, errors and hits per bucket, and the test on them.

    Attributes:
        n_canary_buckets: The first buckets, which belong to the canary.
        sums: [N_BUCKETS, 4], with columns ANSWERS, SECONDS, ERRORS and HITS.
    """

    n_canary_buckets: int
    sums: Floats = field(default_factory=lambda: np.zeros((N_BUCKETS, 4)))

    def add(self, bucket: int, *, seconds: float, failed: bool) -> None:
        """Count one answer."""
        row = self.sums[bucket]
        row[ANSWERS] += 1
        row[SECONDS] += seconds
        row[ERRORS] += failed

    def add_hit(self, bucket: int) -> None:
        """Count one hit."""
        self.sums[bucket, HITS] += 1

    def totals(self) -> tuple[Floats, Floats]:
        """Return answers, seconds, errors and hits of the canary and of the champion."""
        n = self.n_canary_buckets
        return self.sums[:n].sum(axis=0), self.sums[n:].sum(axis=0)

    def find_deterioration(self, level: float, *, maximum_slowdown: float) -> Deterioration | None:
        """Return the first metric in which the canary is worse, or None.

        Args:
            level: Probability, over all metrics, that this interim test stops a canary that is no
                worse.
            maximum_slowdown: Allowed ratio of the canary's mean seconds per answer to the
                champion's, at least 1.
        """
        canary, champion = self.totals()
        if not canary[ANSWERS] or not champion[ANSWERS]:
            return None
        metric_level = level / N_TESTS
        p_values = {
            "errors": (ERRORS, self._test_errors()),
            "latency": (SECONDS, self._test_mean(SECONDS, allowed=maximum_slowdown)),
            "hits": (HITS, self._test_mean(HITS, sign=-1.0)),
        }
        for metric, (column, p_value) in p_values.items():
            if p_value < metric_level:
                numbers = _format_sides(metric, canary, champion, column)
                significance = f"p = {p_value:.1g}, level {metric_level:.1g}"
                return Deterioration(metric, f"{numbers}; {significance}")
        return None

    def _active(self) -> tuple[Floats, int]:
        """Return the buckets with answers, the canary's first, and the number of the canary's."""
        active = self.sums[:, ANSWERS] > 0
        return self.sums[active], int(active[: self.n_canary_buckets].sum())

    def _test_errors(self) -> float:
        """Return the p-value of the canary's number of buckets with errors."""
        sums, n_canary = self._active()
        bad = sums[:, ERRORS] > 0
        if 2 * bad.sum() > len(bad):
            return self._test_mean(ERRORS)
        return hypergeometric_tail(
            int(bad[:n_canary].sum()), n=len(bad), n_marked=int(bad.sum()), n_drawn=n_canary
        )

    def _test_mean(self, column: int, *, allowed: float = 1.0, sign: float = 1.0) -> float:
        """Return the one-sided p-value of the canary's mean per answer.

        Args:
            column: Column of `sums`.
            allowed: Allowed ratio of the canary's mean to the champion's.
            sign: 1 if a high mean is worse, -1 if a low one is.
        """
        sums, n_canary = self._active()
        if min(n_canary, len(sums) - n_canary) < MINIMUM_BUCKETS:
            return 1.0
        answers, value = sums[:, ANSWERS], sums[:, column].copy()
        value[:n_canary] /= allowed
        excess = value - answers * value.sum() / answers.sum()
        n = len(excess)
        variance = n_canary * (1 - n_canary / n) * float(excess @ excess) / (n - 1)
        if variance <= 0:
            return 1.0
        z = sign * float(excess[:n_canary].sum()) / math.sqrt(variance)
        return 0.5 * math.erfc(z / math.sqrt(2))


def hypergeometric_tail(k: int, *, n: int, n_marked: int, n_drawn: int) -> float:
    """Return the probability that at least `k` of `n_drawn` are marked, drawn without replacement.

    >>> hypergeometric_tail(2, n=4, n_marked=2, n_drawn=2)  # 1 of 6 pairs
    0.16666666666666666
    """
    ways = range(k, min(n_marked, n_drawn) + 1)
    good = sum(math.comb(n_marked, i) * math.comb(n - n_marked, n_drawn - i) for i in ways)
    return good / math.comb(n, n_drawn)


def interim_level(number: int, probability: float) -> float:
    """Return the level that interim test `number`, from 1, spends; they sum to `probability`.

    >>> round(sum(interim_level(k, 0.01) for k in range(1, 100_000)), 6)
    0.01
    """
    return probability * 6 / (math.pi * number) ** 2


def _format_sides(metric: str, canary: Floats, champion: Floats, column: int) -> str:
    if metric == "latency":
        ours, theirs = (1e3 * side[column] / side[ANSWERS] for side in (canary, champion))
        return f"{ours:.1f} ms per answer, champion {theirs:.1f} ms"
    ours, theirs = (f"{side[column]:,.0f} of {side[ANSWERS]:,.0f}" for side in (canary, champion))
    return f"{metric} {ours} answers, champion {theirs}"
