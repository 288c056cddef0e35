"""Is the canary worse? Sums per bucket of shoppers, and a test that may be asked again and again.

Design choices:

- A shopper belongs to one of 1,000 buckets by a hash, and the first `share` of the buckets are the
  canary's. So the assignment of buckets is what was drawn, and a bucket is what is tested: answers
  to one shopper are not independent.
- Under "no worse" the sides of the buckets could be exchanged. Errors are rare, so their test is
  exact (how many of the buckets with an error would be the canary's, hypergeometric); means use
  the exchange's own variance with a normal tail.
- The k-th look spends 6 / (pi k)^2 of the level, and each of the three numbers a third of that:
  over all looks together, a canary that is no worse is stopped with at most that probability.
  tests/unit/serving/releases/test_sequential_test.py holds it to that.
"""

import math
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

N_BUCKETS = 1_000
ANSWERS, SECONDS, ERRORS, HITS = range(4)
N_TESTS = 3
MINIMUM_BUCKETS = 20  # fewer say nothing about a mean

Floats = npt.NDArray[np.float64]


def bucket_of(version: str, user_id: str) -> int:
    """Return a shopper's bucket, 0 to 999; another canary draws others.

    >>> bucket_of("0123456789ab", "ann") == bucket_of("0123456789ab", "ann")
    True
    """
    digest = blake2b(f"{version}:{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % N_BUCKETS


@dataclass(frozen=True)
class Deterioration:
    """A number in which the canary is worse by more than chance.

    Attributes:
        what: errors, latency or hits.
        told: The numbers of both sides, for people.
    """

    what: str
    told: str


@dataclass
class SequentialTest:
    """What both sides did so far: answers, seconds, errors and hits per bucket."""

    n_canary_buckets: int
    sums: Floats = field(default_factory=lambda: np.zeros((N_BUCKETS, 4)))

    def add(self, bucket: int, *, seconds: float, failed: bool) -> None:
        """Count one answer."""
        row = self.sums[bucket]
        row[ANSWERS] += 1
        row[SECONDS] += seconds
        row[ERRORS] += failed

    def add_hit(self, bucket: int) -> None:
        """Count an answer of which an item was wanted."""
        self.sums[bucket, HITS] += 1

    def totals(self) -> tuple[Floats, Floats]:
        """Return answers, seconds, errors and hits of the canary and of the champion."""
        n = self.n_canary_buckets
        return self.sums[:n].sum(axis=0), self.sums[n:].sum(axis=0)

    def worse(self, level: float, *, maximum_slowdown: float) -> Deterioration | None:
        """Return the first number in which the canary is worse, None if there is none.

        Args:
            level: How likely this look may stop a canary that is no worse, over all numbers.
            maximum_slowdown: Mean seconds per answer may be this multiple of the champion's.
        """
        canary, champion = self.totals()
        if not canary[ANSWERS] or not champion[ANSWERS]:
            return None
        each = level / N_TESTS
        found = {
            "errors": self._errors(),
            "latency": self._mean(SECONDS, allowed=maximum_slowdown),
            "hits": self._mean(HITS, sign=-1.0),
        }
        told = {"errors": ERRORS, "latency": SECONDS, "hits": HITS}
        for what, probability in found.items():
            if probability < each:
                numbers = _told(what, canary, champion, told[what])
                return Deterioration(what, f"{numbers}; p = {probability:.1g}, level {each:.1g}")
        return None

    def _active(self) -> tuple[Floats, int]:
        """Return the buckets with answers, the canary's first, and how many are the canary's."""
        active = self.sums[:, ANSWERS] > 0
        return self.sums[active], int(active[: self.n_canary_buckets].sum())

    def _errors(self) -> float:
        """Return how likely so many buckets with errors are the canary's."""
        sums, n_canary = self._active()
        bad = sums[:, ERRORS] > 0
        if 2 * bad.sum() > len(bad):
            return self._mean(ERRORS)
        return hypergeometric_tail(
            int(bad[:n_canary].sum()), n=len(bad), n_marked=int(bad.sum()), n_drawn=n_canary
        )

    def _mean(self, column: int, *, allowed: float = 1.0, sign: float = 1.0) -> float:
        """Return how likely the canary's mean per answer is so high (low if `sign` is -1).

        Args:
            column: Which sum.
            allowed: The canary's may be this multiple of the champion's.
            sign: 1 when more is worse, -1 when less is.
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
    """Return how likely at least `k` of `n_drawn` are marked, drawn from `n` without return.

    >>> hypergeometric_tail(2, n=4, n_marked=2, n_drawn=2)  # 1 of 6 pairs
    0.16666666666666666
    """
    ways = range(k, min(n_marked, n_drawn) + 1)
    good = sum(math.comb(n_marked, i) * math.comb(n - n_marked, n_drawn - i) for i in ways)
    return good / math.comb(n, n_drawn)


def level_of_look(number: int, probability: float) -> float:
    """Return what the look `number`, from 1, may spend; all looks together spend `probability`.

    >>> round(sum(level_of_look(k, 0.01) for k in range(1, 100_000)), 6)
    0.01
    """
    return probability * 6 / (math.pi * number) ** 2


def _told(what: str, canary: Floats, champion: Floats, column: int) -> str:
    if what == "latency":
        ours, theirs = (1e3 * side[column] / side[ANSWERS] for side in (canary, champion))
        return f"{ours:.1f} ms per answer, champion {theirs:.1f} ms"
    ours, theirs = (f"{side[column]:,.0f} of {side[ANSWERS]:,.0f}" for side in (canary, champion))
    return f"{what} {ours} answers, champion {theirs}"
