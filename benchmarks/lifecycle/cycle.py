"""Measure the whole circle in a fresh clone: wall time and peak memory of `dvc repro`, by stage.

    uv run python -m benchmarks.lifecycle.cycle

Clones HEAD to a temporary folder and uses the packages that are installed. Then measures a
`dvc repro` that has nothing to do, and which stages a change of one training parameter re-runs.
Writes benchmarks/results/cycle.json.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.machine import write_result

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
SAMPLE_SECONDS = 0.2
N_NO_OP = 3


class PeakMemory(threading.Thread):
    """Samples the resident memory of a process and all its children, by what now runs."""

    def __init__(self, pid: int) -> None:
        """Watch the process `pid`."""
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.stage = ""
        self.peak_gib: dict[str, float] = {}

    def run(self) -> None:
        """Sample until the process is gone."""
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            used = resident_gib(self._process)
            self.peak_gib[self.stage] = max(self.peak_gib.get(self.stage, 0.0), used)
            time.sleep(SAMPLE_SECONDS)


def resident_gib(process: psutil.Process) -> float:
    """Return the resident memory of `process` and its children in GiB."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**30


def measure_repro(folder: Path) -> dict[str, Any]:
    """Run `dvc repro` in `folder`; return seconds and peak GiB, in all and by stage."""
    started = time.perf_counter()
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    memory = PeakMemory(process.pid)
    memory.start()
    starts: dict[str, float] = {}
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        if found := re.match(r"Running stage '([\w@]+)'", line):
            memory.stage = found[1]
            starts[found[1]] = time.perf_counter()
    if process.wait() != 0:
        raise SystemExit(f"dvc repro failed with {process.returncode}")
    ended = time.perf_counter()
    ends = [*list(starts.values())[1:], ended]
    stages = {
        name: {
            "seconds": round(end - start, 1),
            "peak_gib": round(memory.peak_gib.get(name, 0.0), 2),
        }
        for (name, start), end in zip(starts.items(), ends, strict=True)
    }
    deployed = starts.get("monitoring", ended)
    return {
        "seconds": round(ended - started, 1),
        "deployed_seconds": round(deployed - started, 1),
        "peak_gib": round(max(memory.peak_gib.values()), 2),
        "stages": stages,
    }


def measure_no_op(folder: Path) -> float:
    """Return the median seconds of a `dvc repro` that has nothing to do."""
    times = []
    for _ in range(N_NO_OP):
        started = time.perf_counter()
        subprocess.run(["dvc", "repro", "-q"], cwd=folder, env=ENVIRONMENT, check=True)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 2)


def stages_after_a_training_change(folder: Path) -> list[str]:
    """Return the stages that `dvc repro` would run after one training parameter has changed."""
    path = folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"dropout: \S+", "dropout: 0.123", text, count=1), encoding="utf-8")
    done = subprocess.run(
        ["dvc", "repro", "--dry"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    path.write_text(text, encoding="utf-8")
    return re.findall(r"Running stage '([\w@]+)'", done.stdout)


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory(prefix="evergreen-") as name:
        folder = Path(name) / "clone"
        subprocess.run(["git", "clone", "-q", str(PROJECT), str(folder)], check=True)
        numbers = measure_repro(folder)
        numbers["no_op_seconds"] = measure_no_op(folder)
        numbers["stages_after_a_training_change"] = stages_after_a_training_change(folder)
    print(write_result("cycle", numbers).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
