"""The cost of a stage on this machine: minutes and memory.

Written to reports/costs/<stage>/latency.json, a name that git and DVC ignore, and to MLflow.
`make estimates` compares the cost with the plan.
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
BYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


@contextmanager
def record_cost(stage: str, run: Run) -> Iterator[None]:
    """Record the cost of the block, unless it fails."""
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
    """Return the peak memory of this process or of a child process, in GiB."""
    return max(usage.ru_maxrss for usage in _read_usages()) * BYTES / GIB


def _processor_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in _read_usages())


def _read_usages() -> list[resource.struct_rusage]:
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
