"""Load test of a running service: requests at a fixed rate, and their latency."""

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
    """Latency in milliseconds from the time a request was due, so that stalls are not hidden.

    Attributes:
        n: Number of requests.
        n_failed: Number of answers without a 2xx status.
        p50_ms: Median latency.
        p99_ms: 99th percentile of latency.
        stolen_fraction: Fraction of CPU time that the host gave to other virtual machines; it
            delays every request.
    """

    n: int
    n_failed: int
    p50_ms: float
    p99_ms: float
    stolen_fraction: float


def run_load_test(
    url: str, bodies: Sequence[dict[str, Any]], *, requests_per_second: float, seconds: float
) -> LoadResult:
    """Send requests at a fixed rate and return their latency.

    Args:
        url: URL of the service.
        bodies: Bodies of POST /recommend, used in turn.
        requests_per_second: Rate, above 0.
        seconds: Duration of the test.
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
        results = list(pool.map(send, range(n), dues))
        after = psutil.cpu_times()
    latency_ms = np.array([milliseconds for milliseconds, _ in results])
    return LoadResult(
        n=n,
        n_failed=sum(not succeeded for _, succeeded in results),
        p50_ms=float(np.percentile(latency_ms, 50)),
        p99_ms=float(np.percentile(latency_ms, 99)),
        stolen_fraction=stolen_fraction(before, after),
    )


def stolen_fraction(before: Any, after: Any) -> float:
    """Return the fraction of "steal" in CPU time between two `psutil.cpu_times()`, in [0, 1].

    Only Linux reports it; on other systems it is 0.
    """
    passed = sum(after) - sum(before)
    if passed <= 0 or not hasattr(after, "steal"):
        return 0.0
    return float((after.steal - before.steal) / passed)
