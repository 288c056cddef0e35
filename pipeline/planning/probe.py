"""The speed of this machine relative to the reference of costs.py, by a short fixed workload.

The workload resembles the phases: small matrix products, exponentials, sorting, counting and
grouping. It takes the processor time of the best of several tries, so that other processes have
little effect.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

REFERENCE_SECONDS = 0.29  # on the two-core machine of costs.py
REFERENCE_CORES = 2
TRIES = 5


def measure_slowness(cores: int, work: Callable[[], object] | None = None) -> float:
    """Return the duration of a phase here, relative to the reference machine.

    Args:
        cores: Cores that the process may use; more than two are no faster, one is twice as slow.
        work: The workload; None for the reference work.
    """
    seconds = min(_seconds(work or reference_work) for _ in range(TRIES))
    return seconds / REFERENCE_SECONDS * max(REFERENCE_CORES / cores, 1.0)


def reference_work() -> float:
    """Work for about a third of a second; return a number that depends on every step."""
    random = np.random.default_rng(0)
    layers = random.random((1500, 64, 64), dtype=np.float32)
    total = float(np.exp(-np.matmul(layers, layers) / 64).sum())
    keys = random.integers(0, 50_000, 500_000)
    values = random.random(len(keys))
    total += float(np.bincount(keys, values).max()) + float(np.sort(values)[1000])
    frame = pd.DataFrame({"user": keys, "item": keys[::-1], "value": values})
    grouped = frame.groupby(["user", "item"], sort=True)["value"].sum()
    return total + float(grouped.iloc[0])


def _seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
