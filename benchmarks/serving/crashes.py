"""Kill the endpoint at random moments under load, and count the events that it lost or doubled.

    uv run python -m benchmarks.serving.crashes [--store-kills 180] [--service-kills 20]

Writes benchmarks/results/crashes.json. Two things are killed with SIGKILL, which no process can
catch:

- *service*: the real service with the champion, started by BentoML: in turn its worker, which
  BentoML starts again, and its supervisor with the worker, as when a machine's memory runs out.
- *store process*: the same HTTP app and the same event store, with a method of five items in the
  champion's place and without BentoML. It starts in a fraction of the time, so it can be killed
  more often. It shows what the store does; it says nothing of BentoML.

Senders send one event or several, with ids of their own, with an Idempotency-Key, until they are
acknowledged. Some give up after one attempt: what they sent may be there once or not at all.
`kill -9` ends a process, not the machine: what the kernel has taken over is not lost. That a power
cut loses nothing rests on SQLite's `synchronous=FULL`, and is not shown here.
"""

import argparse
import multiprocessing
import random
import sqlite3
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from tqdm import tqdm

from benchmarks.support.machine import write_result
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import PARAMS_PATH, ServingParams, read_params
from pipeline.runtime.stage import quiet_tools
from pipeline.serving.process import LOOPBACK, free_port, running_service

N_SENDERS = 4
LONGEST_LIFE_SECONDS = 0.5
READY_SECONDS = 300.0
PAUSE_SECONDS = 0.01
GIVES_UP_EVERY = 7
SEED = 1


@dataclass
class Sent:
    """What the senders sent; each event has an item_id of its own."""

    items: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, url: Callable[[], str], number: int) -> None:
        """Send until told to stop, then finish what is begun."""
        chance = random.Random(number)  # noqa: S311
        with httpx.Client(timeout=10.0, trust_env=False) as client:
            while not self.stopping.is_set():
                self._send(client, url, chance)
                time.sleep(PAUSE_SECONDS)

    def _send(self, client: httpx.Client, url: Callable[[], str], chance: random.Random) -> None:
        names = [uuid.uuid4().hex for _ in range(chance.choice([1, 1, 5]))]
        by_key = chance.random() < 0.5  # noqa: PLR2004  half of them
        headers = {"Idempotency-Key": uuid.uuid4().hex} if by_key else {}
        body = [_event(name, with_id=not by_key) for name in names]
        gives_up = chance.randrange(GIVES_UP_EVERY) == 0
        self.items.extend(names)
        while True:
            with suppress(httpx.TransportError):
                answer = client.post(f"{url()}/events", json=body, headers=headers)
                if answer.is_success:
                    self.acknowledged.extend(names)
                    return
            if gives_up:
                return
            time.sleep(PAUSE_SECONDS)


def _event(name: str, *, with_id: bool) -> dict[str, Any]:
    event = {"user_id": name[:2], "item_id": name, "event_type": "view"}
    return event | {"event_id": f"id-{name}"} if with_id else event


@contextmanager
def senders(url: Callable[[], str]) -> Iterator[Sent]:
    """Yield what threads send meanwhile; the service must answer again when it ends."""
    sent = Sent()
    threads = [
        threading.Thread(target=sent.run, args=(url, number), daemon=True)
        for number in range(N_SENDERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        sent.stopping.set()
        for thread in threads:
            thread.join(READY_SECONDS)


def counted(path: Path, sent: Sent) -> dict[str, int]:
    """Return how many events were lost, doubled, or are there though nobody sent them."""
    with closing(sqlite3.connect(path)) as connection:
        found = Counter(row[0] for row in connection.execute("SELECT item_id FROM events"))
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return {
        "events_sent": len(sent.items),
        "events_acknowledged": len(sent.acknowledged),
        "acknowledged_events_lost": sum(found[name] == 0 for name in sent.acknowledged),
        "events_duplicated": sum(n > 1 for n in found.values()),
        "events_nobody_sent": len(set(found) - set(sent.items)),
        "damaged_databases": int(not sound),
    }


def serve_store(port: int, path: str, params: ServingParams) -> None:
    """Run the HTTP app on the store, with a method of five items: the target of a process."""
    import uvicorn

    from pipeline.event_store.store import EventStore
    from pipeline.serving.api.app import build_app
    from pipeline.serving.api.backend import Backend
    from pipeline.serving.engine.engine import RecommendationEngine
    from tests.support.fake_bundle import FakeBundle

    bundle: Any = FakeBundle()
    app = build_app()
    app.state.backend = Backend(
        RecommendationEngine(bundle, EventStore(f"sqlite:///{path}"), params), params
    )
    uvicorn.run(app, host=LOOPBACK, port=port, log_level="critical")


PRELOADED = ["uvicorn", "pipeline.serving.api.app", "tests.support.fake_bundle"]


def kill_store_process(kills: int, path: Path, chance: random.Random) -> Sent:
    """Kill the store's process again and again under load; return what was sent."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    port, params = free_port(), read_params().serving
    url = f"http://{LOOPBACK}:{port}"

    def start() -> Any:
        process = context.Process(target=serve_store, args=(port, str(path), params), daemon=True)
        process.start()
        wait_until_ready(url)
        return process

    with senders(lambda: url) as sent:
        for _ in tqdm(range(kills), desc="store process", unit="kill"):
            process = start()
            time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
            process.kill()
            process.join()
        last = start()
    last.kill()
    last.join()
    return sent


def kill_service(kills: int, path: Path, chance: random.Random) -> Sent:
    """Kill the real service's worker and supervisor in turn under load; return what was sent."""
    at = {"url": f"http://{LOOPBACK}:1"}
    with senders(lambda: at["url"]) as sent:
        for number in tqdm(range(0, kills + 1, 2), desc="service", unit="pair"):
            with running_service(
                CHAMPION.path,
                params_path=PARAMS_PATH,
                timeout_seconds=READY_SECONDS,
                event_store=f"sqlite:///{path}",
            ) as service:
                at["url"] = service.url
                supervisor = psutil.Process(service.pid)
                if number < kills:
                    time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
                    _kill(supervisor.children(recursive=True))
                    _wait_for_a_worker(supervisor, service.url)
                time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
                if number + 1 < kills:
                    _kill([supervisor, *supervisor.children(recursive=True)])
                else:
                    sent.stopping.set()
                    _wait_for_the_last(sent)
    return sent


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _wait_for_a_worker(supervisor: psutil.Process, url: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while not supervisor.children() and time.monotonic() < until:
        time.sleep(0.01)
    wait_until_ready(url)


def _wait_for_the_last(sent: Sent) -> None:
    """Let the senders finish what they began while the service still answers."""
    n_before = -1
    while n_before != len(sent.acknowledged):
        n_before = len(sent.acknowledged)
        time.sleep(1.0)


def wait_until_ready(url: str) -> None:
    """Return when the service answers.

    Raises:
        TimeoutError: It does not in time.
    """
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False).is_success:
                return
        time.sleep(0.01)
    message = f"no answer from {url} in {READY_SECONDS:.0f} s"
    raise TimeoutError(message)


def measure(
    kind: Callable[[int, Path, random.Random], Sent], kills: int, chance: random.Random
) -> dict[str, int | float]:
    """Return what `kills` kills did to a new store."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="evergreen-crashes-") as scratch:
        path = Path(scratch) / "events.db"
        found = counted(path, kind(kills, path, chance))
    return {"kills": kills, "seconds": round(time.monotonic() - started), **found}


def summed(found: dict[str, dict[str, int | float]]) -> dict[str, Any]:
    """Return each kind, and what was lost or doubled in all; kills of two things do not add up."""
    sums = ("acknowledged_events_lost", "events_duplicated", "events_acknowledged")
    return {
        **{name: sum(each[name] for each in found.values()) for name in sums},
        **found,
        "signal": "SIGKILL of processes; the machine itself was not cut off",
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store-kills", type=int, default=180)
    parser.add_argument("--service-kills", type=int, default=20)
    arguments = parser.parse_args()
    quiet_tools()
    chance = random.Random(SEED)  # noqa: S311  moments, not secrets
    found = {}
    for name, kind, kills in (
        ("of_the_store_process", kill_store_process, arguments.store_kills),
        ("of_the_service", kill_service, arguments.service_kills),
    ):
        if kills:
            found[name] = measure(kind, kills, chance)
            print(write_result("crashes", summed(found)).read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
