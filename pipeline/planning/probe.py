"""How fast this machine is, by a short fixed piece of work: what costs.py says times so much.

The work is of the kinds that the phases spend their time on: small matrix products, exponentials,
sorting, counting and grouping. Processor time is taken, the best of some tries, so that what else
runs here counts little.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

REFERENCE_SECONDS = 0.29  # of the two-core machine on which costs.py was measured
REFERENCE_CORES = 2
TRIES = 5


def slowness(cores: int, work: Callable[[], object] | None = None) -> float:
    """Return how many times longer a phase takes here than on the reference machine.

    Args:
        cores: That the process may use; more than two are no faster, one is twice as slow.
        work: What is timed; None for the reference work.
    """
    seconds = min(_seconds(work or reference_work) for _ in range(TRIES))
    return seconds / REFERENCE_SECONDS * max(REFERENCE_CORES / cores, 1.0)


def reference_work() -> float:
    """Work for about a third of a second, and return a number that depends on all of it."""
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
