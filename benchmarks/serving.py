"""Measure the endpoint: the champion's Bento-less service on loopback under an even load.

    python -m benchmarks.serving

Writes benchmarks/results/serving.json: latency in milliseconds at the plan's rate (from when a
request was due, client on the same machine), and the resident memory of the service.
"""

import random
import tempfile
from pathlib import Path

from benchmarks.machine import write_result
from pipeline.artefacts import CHAMPION
from pipeline.deployment.bundle import load_bundle
from pipeline.deployment.load import put_load
from pipeline.deployment.process import running_service
from pipeline.params import PARAMS_PATH, read_params
from pipeline.stage import quiet_tools

SECONDS = 60


def main() -> None:
    """Measure and write the result."""
    quiet_tools()
    params = read_params()
    users = list(load_bundle(CHAMPION.path).histories.user_ids)
    random.Random(0).shuffle(users)  # noqa: S311  which user is asked first is no secret
    rate = params.deployment.load_requests_per_second
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_service(
            CHAMPION.path,
            params_path=PARAMS_PATH,
            timeout_seconds=params.deployment.ready_timeout_seconds,
            event_store=f"sqlite:///{Path(scratch) / 'events.db'}",
        ) as service,
    ):
        bodies = [{"user_id": user} for user in users]
        load = put_load(service.url, bodies, requests_per_second=rate, seconds=SECONDS)
        numbers = {
            "requests_per_second": rate,
            "seconds": SECONDS,
            "n_requests": load.n,
            "n_failed": load.n_failed,
            "p50_ms": round(load.p50_ms, 2),
            "p99_ms": round(load.p99_ms, 2),
            "stolen_fraction": round(load.stolen_fraction, 4),
            "memory_gib": round(service.memory_gib(), 2),
            "seconds_to_ready": round(service.seconds_to_ready, 1),
        }
    print(write_result("serving", numbers).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
