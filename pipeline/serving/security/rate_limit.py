"""How often each caller may ask: a token bucket per name, in memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

BURST_SECONDS = 2.0
MAXIMUM_CALLERS = 10_000


class RateLimit:
    """A bucket per caller that holds two seconds' worth of requests and refills steadily."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Let each caller ask `per_second` times a second in the long run; 0 is no limit."""
        self._per_second = per_second
        self._capacity = max(1.0, per_second * BURST_SECONDS)
        self._clock = clock
        # By caller, the one that asked last at the end: tokens left, and when they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> int:
        """Return 0 if the caller may ask now, else after how many whole seconds."""
        if not self._per_second:
            return 0
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._capacity, now))
        left = min(self._capacity, left + (now - since) * self._per_second)
        allowed = left >= 1.0
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > MAXIMUM_CALLERS:
            self._buckets.popitem(last=False)  # it asked longest ago: its bucket is the fullest
        return 0 if allowed else max(1, math.ceil((1.0 - left) / self._per_second))
