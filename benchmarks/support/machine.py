"""What a result must say about itself: the commit, the date and the machine."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parents[1] / "results"


def n_cores() -> int:
    """Return how many cores this process may use, which `taskset` can make fewer."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def write_result(name: str, numbers: dict[str, Any]) -> Path:
    """Write benchmarks/results/<name>.json: the numbers, the commit, the date and the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    machine = {
        "cores": n_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
    }
    result = {
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        **numbers,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path
