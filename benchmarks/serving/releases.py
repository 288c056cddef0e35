"""Measure releases: versions of the champion are swapped in a running service under load.

    uv run python -m benchmarks.serving.releases

The second version is the champion with one golden request fewer: the same model under another
hash, loaded from disk as any other. The load is the plan's, 20 requests per second. Writes
benchmarks/results/releases.json: requests that failed,
the longest answer while nothing changed and while versions were swapped, and the seconds from the
command (`promote`, `rollback`) to the first answer of the version.
"""

import json
import math
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.support.machine import write_result
from pipeline.bundles.archive import RELEASES
from pipeline.bundles.bundle import GOLDEN, load_bundle, verify_bundle
from pipeline.bundles.manifest import write_manifest
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import PARAMS_PATH, read_params
from pipeline.runtime.stage import quiet_tools
from pipeline.serving.load_test import stolen_fraction
from pipeline.serving.process import RunningService, running_service
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import ReleaseStore

N_CONNECTIONS = 4
REQUESTS_PER_SECOND = 5.0  # of each connection
QUIET_SECONDS = 15.0
N_ROUNDS = 5
REST_SECONDS = 2.0
TIMEOUT_SECONDS = 60.0


@dataclass
class Answers:
    """What came back: when, after how many milliseconds, with which status, of which version."""

    rows: list[tuple[float, float, int, str]] = field(default_factory=list)

    def longest_ms(self, since: float, until: float) -> float:
        """Return the longest answer of those that ended in that time."""
        return max(ms for at, ms, _, _ in self.rows if since <= at <= until)

    def p99_ms(self, since: float, until: float) -> float:
        """Return the 99th percentile of those that ended in that time."""
        return float(np.percentile([ms for at, ms, _, _ in self.rows if since <= at <= until], 99))

    def failed(self, since: float, until: float) -> list[int]:
        """Return the status of each that failed in that time; 0 is a broken connection."""
        return [
            status
            for at, _, status, _ in self.rows
            if since <= at <= until and status != httpx.codes.OK
        ]

    def first_of(self, version: str, since: float) -> float:
        """Return the seconds until a version answered a request that ended after `since`."""
        while True:
            found = [at for at, _, _, name in list(self.rows) if at >= since and name == version]
            if found:
                return min(found) - since
            if time.monotonic() - since > TIMEOUT_SECONDS:
                message = f"{version} never answered"
                raise TimeoutError(message)
            time.sleep(0.005)


def main() -> None:
    """Measure and write the result."""
    quiet_tools()
    params = read_params()
    users = list(load_bundle(CHAMPION.path).histories.user_ids)
    with tempfile.TemporaryDirectory(dir=RELEASES.parent) as scratch:
        root = Path(scratch)
        place = ReleaseStore(root / "releases", CHAMPION.path)
        second = second_version(root / "second")
        with running_service(
            CHAMPION.path,
            params_path=PARAMS_PATH,
            timeout_seconds=params.deployment.ready_timeout_seconds,
            event_store=f"sqlite:///{root.absolute() / 'events.db'}",
            releases=place.folder,
        ) as service:
            numbers = measure(service, place, second, users)
    print(write_result("releases", numbers).read_text(encoding="utf-8"))


def second_version(folder: Path) -> Path:
    """Return the champion's bundle under another version."""
    shutil.copytree(CHAMPION.path, folder)
    facts = verify_bundle(folder)
    golden = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    (folder / GOLDEN).write_text(json.dumps(golden[:-1]), encoding="utf-8")
    write_manifest(folder, facts)
    return folder


def measure(
    service: RunningService, place: ReleaseStore, second: Path, users: list[str]
) -> dict[str, Any]:
    """Return the numbers: a quiet time, then rounds of promote and rollback under the same load."""
    promoted, back = [], []
    cpu = psutil.cpu_times()
    memory = [service.memory_gib()]
    with load(service.url, users) as answers:
        time.sleep(REST_SECONDS)
        quiet = (time.monotonic(), time.monotonic() + QUIET_SECONDS)
        time.sleep(QUIET_SECONDS)
        for _ in range(N_ROUNDS):
            since = time.monotonic()
            first = changes.promote(str(second), place).champion
            promoted.append(answers.first_of(first, since))
            time.sleep(REST_SECONDS)
            middle = time.monotonic()
            back.append(answers.first_of(changes.rollback(place).champion, middle))
            time.sleep(REST_SECONDS)
            memory.append(service.memory_gib())
        swapping = (quiet[1], time.monotonic())
    return {
        "connections": N_CONNECTIONS,
        "requests_per_second": N_CONNECTIONS * REQUESTS_PER_SECOND,
        "n_swaps": 2 * N_ROUNDS,
        "n_requests": len(answers.rows),
        "failed_requests_before": len(answers.failed(0.0, quiet[1])),
        "failed_requests_in_swap": len(answers.failed(*swapping)),
        "failed_by_status": dict(Counter(map(str, answers.failed(0.0, math.inf)))),
        "stolen_fraction": round(stolen_fraction(cpu, psutil.cpu_times()), 4),
        "p99_ms": round(answers.p99_ms(*quiet), 2),
        "longest_answer_ms": round(answers.longest_ms(*quiet), 2),
        "p99_ms_in_swap": round(answers.p99_ms(*swapping), 2),
        "longest_answer_ms_in_swap": round(answers.longest_ms(*swapping), 2),
        "promote_seconds": round(statistics.median(promoted), 2),
        "rollback_seconds": round(statistics.median(back), 2),
        "memory_gib_by_round": [round(each, 3) for each in memory],
    }


@contextmanager
def load(url: str, users: list[str]) -> Iterator[Answers]:
    """Yield the answers to an even load of several connections while it runs."""
    answers, done = Answers(), threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            due = time.monotonic()
            while not done.is_set():
                number += N_CONNECTIONS
                due += 1 / REQUESTS_PER_SECOND
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    found = client.post("/recommend", json={"user_id": users[number % len(users)]})
                    status = found.status_code
                    version = found.json().get("model_version", "")
                except httpx.TransportError:
                    status, version = 0, ""
                now = time.monotonic()
                answers.rows.append((now, (now - due) * 1e3, status, version))

    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        askers = [pool.submit(ask, number) for number in range(N_CONNECTIONS)]
        try:
            yield answers
        finally:
            done.set()
        for asker in askers:
            asker.result()


if __name__ == "__main__":
    main()
