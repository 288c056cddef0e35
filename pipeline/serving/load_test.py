"""A short load on the running service: an even stream of requests, and how long answers take."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import psutil

N_WORKERS = 8
WARM_UP = 20
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class LoadResult:
    """Latency in milliseconds from when a request was due, so that a stall is not hidden.

    `stolen_fraction` is the share of the cores' time in which the host of a virtual machine ran
    others; a stall of the machine is a stall of every request in it.
    """

    n: int
    n_failed: int
    p50_ms: float
    p99_ms: float
    stolen_fraction: float


def put_load(
    url: str, bodies: Sequence[dict[str, Any]], *, requests_per_second: float, seconds: float
) -> LoadResult:
    """Send requests at a fixed rate for some seconds and return their latency.

    Args:
        url: Of the running service.
        bodies: Bodies of POST /recommend, taken in turn.
        requests_per_second: The rate.
        seconds: How long.
    """

    def send(number: int, due: float) -> tuple[float, bool]:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, 0.0) or time.monotonic()
        response = client.post("/recommend", json=bodies[number % len(bodies)])
        return (time.monotonic() - due) * 1e3, response.is_success

    n = max(1, round(requests_per_second * seconds))
    with (
        httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
        ThreadPoolExecutor(N_WORKERS) as pool,
    ):
        list(pool.map(lambda number: send(number, 0.0), range(WARM_UP)))
        before = psutil.cpu_times()
        start = time.monotonic() + 0.1
        dues = [start + number / requests_per_second for number in range(n)]
        found = list(pool.map(send, range(n), dues))
        after = psutil.cpu_times()
    taken = np.array([milliseconds for milliseconds, _ in found])
    return LoadResult(
        n=n,
        n_failed=sum(not good for _, good in found),
        p50_ms=float(np.percentile(taken, 50)),
        p99_ms=float(np.percentile(taken, 99)),
        stolen_fraction=stolen_fraction(before, after),
    )


def stolen_fraction(before: Any, after: Any) -> float:
    """Return the share of "steal" in the cores' time between two `psutil.cpu_times()`.

    Only Linux counts it; elsewhere it is 0.
    """
    passed = sum(after) - sum(before)
    if passed <= 0 or not hasattr(after, "steal"):
        return 0.0
    return float((after.steal - before.steal) / passed)
