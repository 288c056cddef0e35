"""The rate limit of each caller: a token bucket per name, in memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

BURST_SECONDS = 2.0
MAXIMUM_CALLERS = 10_000


class RateLimit:
    """A token bucket per caller, with a capacity of two seconds' worth of requests."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow each caller `per_second` requests a second on average; 0 means no limit."""
        self._per_second = per_second
        self._capacity = max(1.0, per_second * BURST_SECONDS)
        self._clock = clock
        # By caller, the most recent last: tokens left, and the time at which they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> int:
        """Take a token: return 0 if the request is allowed, else the wait in whole seconds."""
        if not self._per_second:
            return 0
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._capacity, now))
        left = min(self._capacity, left + (now - since) * self._per_second)
        allowed = left >= 1.0
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > MAXIMUM_CALLERS:
            self._buckets.popitem(last=False)  # the oldest, whose bucket is the fullest
        return 0 if allowed else max(1, math.ceil((1.0 - left) / self._per_second))
