"""What a stage took on this machine: minutes and memory, beside what planning estimated.

Written to reports/costs/<stage>/latency.json, a name that git and DVC leave alone, and to MLflow.
`make estimates` compares it with the plan.
"""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.contracts.artefacts import write_json
from pipeline.runtime.tracking import Run

COSTS = Path("reports/costs")
FILE = "latency.json"
GIB = 2**30
BYTES = 1 if sys.platform == "darwin" else 1024  # in which ru_maxrss counts


@contextmanager
def measured_cost(stage: str, run: Run) -> Iterator[None]:
    """Record what the block took; of one that fails nothing is recorded."""
    started = time.perf_counter()
    yield
    cost = {
        "minutes": round((time.perf_counter() - started) / 60, 4),
        "processor_minutes": round(_processor_seconds() / 60, 4),
        "memory_gib": round(peak_gib(), 3),
    }
    write_json(cost, COSTS / stage / FILE)
    run.log_metrics({"cost": cost})


def peak_gib() -> float:
    """Return the most memory that this process, or one that it started, has held."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(each).ru_maxrss for each in who) * BYTES / GIB


def _processor_seconds() -> float:
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    usages = [resource.getrusage(each) for each in who]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
