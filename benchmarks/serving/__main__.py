"""Measure the endpoint on loopback, beside an empty BentoML endpoint and a bare Starlette one.

    uv run python -m benchmarks.serving
    uv run python -m benchmarks.serving --soak-seconds 600

Of each, alone on the machine: latency and requests per second with 1, 8 and 32 clients that ask all
the time (medians of --rounds), every request about the next shopper. Ours twice: `clients` as
params.yaml has it, when every shopper has been asked about once, so that most answers come from
what the model said of them before; `clients_anew` with serving.keep_minutes at 0, so that the model
works for every answer. Of ours also: answers a moment after a shopper looked at something
(`after_events`); latency at the plan's even rate, from when a request was due; the time until it is
ready; its memory before and after. The client is one process on the same cores. `ratio` is ours to
the other's.
What `crashes`, `releases` and `fuzz` beside this module measured is repeated here.
Writes benchmarks/results/serving.json.
"""

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.serving.closed_loop import Latency, after_events, closed_loop
from benchmarks.support.machine import RESULTS, write_result
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.errors import DeploymentError
from pipeline.contracts.params import PARAMS_PATH, Params, read_params
from pipeline.runtime.stage import quiet_tools
from pipeline.serving.load_test import run_load_test, stolen_fraction
from pipeline.serving.process import (
    LOOPBACK,
    POLL_SECONDS,
    RunningService,
    free_port,
    running_service,
    stop_service,
)

CONCURRENCY = (1, 8, 32)
EVEN_SECONDS = 30
WARM_UP_SECONDS = 3
START_SECONDS = 60
WARM_UP_RATE = 100.0  # shoppers asked about per second, at the least
PAGES = 500
PAUSE_SECONDS = 0.05
KEEP = re.compile(r"keep_minutes: \S+")
EMPTY = "benchmarks.serving.empty_endpoints"
OTHERS = {
    "empty_bentoml": ("bentoml", "serve", f"{EMPTY}:Empty"),
    "bare_starlette": ("uvicorn", f"{EMPTY}:starlette_app", "--no-access-log"),
}
# What other benchmarks found out, by their file.
REPEATED = {
    "crashes": ("acknowledged_events_lost",),
    "releases": ("failed_requests_in_swap", "rollback_seconds"),
    "fuzz": ("fuzz_cases", "valid_answered", "fuzz_5xx"),
}


def latencies(url: str, bodies: list[dict[str, Any]], rounds: int, seconds: float) -> Any:
    """Return the medians over the rounds by concurrency."""
    closed_loop(url, bodies, concurrency=CONCURRENCY[-1], seconds=WARM_UP_SECONDS)
    found: dict[str, dict[str, float]] = {}
    for concurrency in CONCURRENCY:
        results: list[Latency] = [
            closed_loop(url, bodies, concurrency=concurrency, seconds=seconds)
            for _ in range(rounds)
        ]
        found[str(concurrency)] = {
            name: median(getattr(result, name) for result in results)
            for name in ("requests_per_second", "p50_ms", "p99_ms", "longest_ms")
        } | {"n_failed": sum(result.n_failed for result in results)}
    return found


@contextmanager
def other(name: str) -> Iterator[str]:
    """Yield the address of one of OTHERS."""
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", *OTHERS[name], "--host", LOOPBACK, "--port", str(port)],
            env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until_listening(process, port)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            stop_service(process)


def wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Return when somebody listens on this port of loopback.

    Raises:
        DeploymentError: The process ended, or nobody did in time.
    """
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    raise DeploymentError(
        f"a service on port {port}",
        received=f"exit code {process.poll()} within {START_SECONDS} s",
        action="Start it by hand to see why: see OTHERS.",
    )


@contextmanager
def ours(params: Params, *, keep: bool = True) -> Iterator[RunningService]:
    """Yield the champion's service; without `keep` its model works for every answer."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "params.yaml"
        text = PARAMS_PATH.read_text(encoding="utf-8")
        path.write_text(text if keep else KEEP.sub("keep_minutes: 0", text), encoding="utf-8")
        with running_service(
            CHAMPION.path,
            params_path=path,
            timeout_seconds=params.deployment.ready_timeout_seconds,
            event_store=f"sqlite:///{Path(scratch) / 'events.db'}",
        ) as service:
            yield service


def even_load(url: str, bodies: list[dict[str, Any]], rate: float) -> dict[str, float]:
    """Return the latency at an even rate, as deployment measures it."""
    load = run_load_test(url, bodies, requests_per_second=rate, seconds=EVEN_SECONDS)
    return {name: round(value, 4) for name, value in asdict(load).items()} | {
        "requests_per_second": rate
    }


def soak(service: RunningService, bodies: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    """Return the longest pause under a load of eight clients, and the memory before and after."""
    before = service.memory_gib()
    load = closed_loop(f"{service.url}/recommend", bodies, concurrency=8, seconds=seconds)
    return {
        "seconds": seconds,
        **asdict(load),
        "memory_before_gib": round(before, 3),
        "memory_after_gib": round(service.memory_gib(), 3),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round")
    parser.add_argument("--soak-seconds", type=float, help="also a soak of this length")
    asked = parser.parse_args(argv)
    quiet_tools()
    params = read_params()
    bodies = [{"user_id": user} for user in shoppers()]
    times = psutil.cpu_times()
    found: dict[str, Any] = {
        name: _measured(name, bodies, asked.rounds, asked.seconds) for name in OTHERS
    }
    with ours(params, keep=False) as service:
        numbers: dict[str, Any] = {
            "seconds_to_ready": round(service.seconds_to_ready, 1),
            "memory_gib": round(service.memory_gib(), 3),
            "worker_memory_gib": round(worker_gib(service), 3),
            "even_load": even_load(service.url, bodies, params.deployment.load_requests_per_second),
            "clients_anew": latencies(
                f"{service.url}/recommend", bodies, asked.rounds, asked.seconds
            ),
        }
    with ours(params) as service:
        for part in (bodies[::2], bodies[1::2]):  # everybody once, well within keep_minutes
            seconds = len(part) / WARM_UP_RATE
            closed_loop(f"{service.url}/recommend", part, concurrency=8, seconds=seconds)
        clients = latencies(f"{service.url}/recommend", bodies, asked.rounds, asked.seconds)
        numbers["clients"] = clients
        users, items = [body["user_id"] for body in bodies], [str(each) for each in viewed()]
        pages = after_events(service.url, users, items, n=PAGES, pause_seconds=PAUSE_SECONDS)
        numbers["after_events"] = {**asdict(pages), "pause_seconds": PAUSE_SECONDS}
        if asked.soak_seconds:
            numbers["soak"] = soak(service, bodies, asked.soak_seconds)
        numbers["memory_after_gib"] = round(service.memory_gib(), 3)
        numbers["worker_memory_after_gib"] = round(worker_gib(service), 3)
    found["ours"] = numbers
    found["rounds"], found["seconds_per_round"] = asked.rounds, asked.seconds
    found["ratio"] = {
        which: {name: _ratios(numbers[which], found[name]) for name in OTHERS}
        for which in ("clients", "clients_anew")
    }
    found["stolen_fraction"] = round(stolen_fraction(times, psutil.cpu_times()), 4)
    print(write_result("serving", found | repeated()).read_text(encoding="utf-8"))


def _measured(name: str, bodies: list[dict[str, Any]], rounds: int, seconds: float) -> Any:
    with other(name) as url:
        return latencies(f"{url}/recommend", bodies, rounds, seconds)


def _ratios(ours: Any, theirs: Any) -> Any:
    return {
        concurrency: {
            measure: round(ours[concurrency][measure] / theirs[concurrency][measure], 2)
            for measure in ("p50_ms", "p99_ms", "requests_per_second")
        }
        for concurrency in ours
    }


def worker_gib(service: RunningService) -> float:
    """Return the resident memory of the largest process of the service: the worker."""
    workers = psutil.Process(service.pid).children(recursive=True)
    return float(max(process.memory_info().rss for process in workers)) / 2**30


def viewed() -> list[str]:
    """Return some items that shoppers may look at."""
    import pyarrow.parquet as pq

    from pipeline.bundles.bundle import ITEMS

    ids = pq.read_table(CHAMPION.path / ITEMS, columns=["item_id"])["item_id"].to_pylist()
    return random.Random(0).sample(ids, 1_000)  # noqa: S311  which ones is no secret


def shoppers() -> list[str]:
    """Return every known shopper, in a random order that is always the same."""
    import pyarrow.parquet as pq

    from pipeline.bundles.bundle import HISTORIES

    column = pq.read_table(CHAMPION.path / HISTORIES, columns=["user_id"])["user_id"]
    users = sorted(column.unique().to_pylist())
    random.Random(0).shuffle(users)  # noqa: S311  which user is asked first is no secret
    return users


def repeated() -> dict[str, Any]:
    """Return the numbers of REPEATED that have been measured."""
    found: dict[str, Any] = {}
    for name, keys in REPEATED.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text(encoding="utf-8"))
            found |= {key: result[key] for key in keys}
    return found


if __name__ == "__main__":
    main()
