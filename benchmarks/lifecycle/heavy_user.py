"""Measure what one account with very many purchases costs, phase by phase.

    uv run python -m benchmarks.lifecycle.heavy_user [--lines 0 1000 10000 100000]

The tests' tiny shop, without and with one guest account of so many lines in baskets of 25. Every
size runs in a process of its own, which may use --memory-gib. Processor seconds of planning, of
collection, of labeling, of the requests and the features of all examples; then, for a service
whose shopper did all of that since `as_of`, microseconds per event and milliseconds per request, of
that account and of another. Writes benchmarks/results/heavy_shopper.json.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from benchmarks.support.machine import write_result
from tests.support import tiny_shop

GUEST = "guest"
BASKET = 25
GIB = 2**30
N_EVENTS = 50
N_REQUESTS = 20
DAYS = 7 * tiny_shop.N_WEEKS


def guest_events(n_lines: int, seed: int = 11) -> pd.DataFrame:
    """Return `n_lines` purchases of one account, in baskets of 25 spread over the shop's weeks."""
    random = np.random.default_rng(seed)
    n_baskets = max(1, n_lines // BASKET)
    hours = np.sort(random.random(n_baskets)) * DAYS * 24
    items = np.argsort(random.random((n_baskets, tiny_shop.N_ITEMS)), axis=1)[:, :BASKET].ravel()
    basket = np.repeat(np.arange(n_baskets), BASKET)
    return pd.DataFrame(
        {
            "user_id": GUEST,
            "item_id": [tiny_shop.item_id(int(item)) for item in items],
            "timestamp": (
                pd.Timestamp(tiny_shop.START) + pd.to_timedelta(hours[basket], "h")
            ).as_unit("us"),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 2.0,
            "discount": 0.0,
            "basket_id": [f"guest-{number}" for number in basket],
            "store_id": "store-1",
            "source": "tiny",
        }
    )[:n_lines]


def write_shop(folder: Path, n_lines: int) -> Any:
    """Write params.yaml and the source, the account included; return the parameters."""
    from pipeline.contracts.params import read_params

    tiny_shop.write_source(folder / "data/source")
    path = folder / "data/source/events.parquet"
    if n_lines:
        both = pd.concat([pd.read_parquet(path), guest_events(n_lines)])
        both.to_parquet(path, index=False)
    reviewed = folder / "data/reviewed/labels.csv"
    reviewed.parent.mkdir(parents=True)
    reviewed.write_text("example_id,basket_id,item_id,reason,decision\n", encoding="utf-8")
    tiny_shop.write_params(folder / "params.yaml", tiny_shop.params())
    return read_params(folder / "params.yaml")


def phases(params: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what is timed, in the order of the cycle, in the current folder."""
    from pipeline.contracts.artefacts import REVIEWED_LABELS
    from pipeline.labeling.audit.reviews import read_decisions
    from pipeline.labeling.outcome import label_and_audit, read_tables, write_outcome
    from pipeline.planning.planning import build_plan
    from pipeline.sources import open_source

    yield "planning", lambda: build_plan(open_source(params.collection, params.shop), params)
    yield "collection", lambda: _collect(params)
    yield (
        "labeling",
        lambda: write_outcome(
            label_and_audit(
                read_tables(), read_decisions(REVIEWED_LABELS), params.labeling, params.shop
            )
        ),
    )
    yield "features", lambda: _features(params)


def _collect(params: Any) -> None:
    from pipeline.collection.collect import collect
    from pipeline.event_store.suppression import read_suppressed
    from pipeline.sources import open_source
    from pipeline.validation import Validator

    with tempfile.TemporaryDirectory() as scratch:
        source = open_source(params.collection, params.shop)
        validator = Validator(Path(scratch))
        collect(source, params.collection, params.shop, validator, read_suppressed())


def _features(params: Any) -> None:
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.recommenders.ranker.examples import Labels, build_extractor, build_repeat_pairs
    from pipeline.recommenders.ranker.graph import RankerGraph, build_item_tables, code_counts

    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    tables = build_item_tables(shop, shop.cutoff, params.families.popular_days)
    ranker = params.families.ranker
    graph = RankerGraph(tables, ranker, code_counts(shop), seed=0)
    extract = build_extractor(graph, ranker.n_ages)
    for asked in (shop.rolling, *(window for _, window in shop.windows)):
        build_repeat_pairs(asked.requests, Labels.of(asked.examples, shop), extract)


def serving(n_lines: int) -> dict[str, Any]:
    """Return the cost per event and per request when the account did all since `as_of`."""
    from pipeline.event_store.store import StoredEvent
    from pipeline.recommenders.base.histories import build_histories
    from pipeline.recommenders.base.vocabulary import Vocabulary
    from pipeline.serving.user_state.recent_events import RecentEvents
    from pipeline.serving.user_state.request_builder import RequestBuilder

    known = tiny_shop.events()
    vocabulary = Vocabulary(tuple(sorted(known["item_id"].unique())))
    histories = build_histories(known, vocabulary, **_cap(build_histories))
    overlay = RecentEvents(vocabulary, since=tiny_shop.START.timestamp(), zone=ZoneInfo("UTC"))
    codes = pd.DataFrame(index=pd.Index([], dtype=str))
    builder = RequestBuilder(
        histories, codes, overlay, timezone="UTC", cart_hours=24, viewed_minutes=60
    )

    def event(number: int, user_id: str, at: datetime, item: str, basket: str) -> StoredEvent:
        return StoredEvent(
            event_id=f"{user_id}-{number}",
            user_id=user_id,
            item_id=item,
            timestamp=at,
            event_type="purchase",
            quantity=1.0,
            price=2.0,
            discount=0.0,
            basket_id=basket,
            session_id=None,
            store_id=None,
            source="endpoint",
            received_at=at,
        )

    told = guest_events(n_lines) if n_lines else guest_events(1)[:0]
    columns = (told["timestamp"], told["item_id"], told["basket_id"])
    overlay.extend(
        event(number, GUEST, at.to_pydatetime(), item, basket)
        for number, (at, item, basket) in enumerate(zip(*columns, strict=True))
    )
    end = tiny_shop.START + timedelta(days=DAYS)
    cost: dict[str, Any] = {}
    for who in (GUEST, tiny_shop.user_id(0)):
        name = "account" if who == GUEST else "another"
        builder.build(builder.build_context(who, end.timestamp()))
        events_us, requests_ms, seen_ms = [], [], []
        for number in range(N_EVENTS):
            at = end + timedelta(seconds=number + 1)
            new = event(n_lines + number, who, at, tiny_shop.item_id(number % 60), f"new-{number}")
            events_us.append(_seconds(partial(overlay.extend, [new])) * 1e6)
            moment = at.timestamp() + 0.5
            ask = partial(_ask, builder, who, moment)
            requests_ms.append(_seconds(ask) * 1e3)
            seen_ms.append(_seconds(ask) * 1e3)
        cost[name] = {
            "microseconds_per_event": round(statistics.median(events_us), 1),
            "milliseconds_per_request_after_an_event": round(statistics.median(requests_ms), 3),
            "milliseconds_per_request": round(statistics.median(seen_ms), 3),
            "lines_of_a_request": len(ask().item),
        }
    return cost


def _ask(builder: Any, user_id: str, moment: float) -> Any:
    return builder.build(builder.build_context(user_id, moment))


def _cap(build_histories: Callable[..., Any]) -> dict[str, int]:
    """Return the declared cap as an argument, nothing where the code has none."""
    from inspect import signature

    values = tiny_shop.params()["shop"]
    has_one = "maximum_lines" in signature(build_histories).parameters
    return {"maximum_lines": values["maximum_user_lines"]} if has_one else {}


def _seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()  # of all threads: what others do on the machine does not count
    call()
    return time.process_time() - started


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def measure(n_lines: int) -> dict[str, Any]:
    """Return all numbers of one size; what does not fit into memory is None."""
    from pipeline.runtime.stage import quiet_tools

    quiet_tools()
    cost: dict[str, Any] = {"seconds": {}}
    with tempfile.TemporaryDirectory() as scratch, _inside(Path(scratch)):
        params = write_shop(Path(), n_lines)
        for name, call in phases(params):
            try:
                cost["seconds"][name] = round(_seconds(call), 2)
            except MemoryError:
                cost["seconds"][name] = None
        cost["examples_of_the_account"] = _n_examples()
    cost["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, 2)
    cost["serving"] = serving(n_lines)
    return cost


def _n_examples() -> int:
    from pipeline.recommenders.base.tables import read_examples

    examples = read_examples("train", "validation", "test", "production")
    return int((examples["user_id"] == GUEST).sum())


def main() -> None:
    """Measure every size in its own process and write the result."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.lifecycle.heavy_user",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lines", type=int, nargs="+", default=[0, 1_000, 10_000, 100_000])
    parser.add_argument("--memory-gib", type=float, default=12.0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        limit = int(asked.memory_gib * GIB)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        print(json.dumps(measure(asked.one)))
        return
    sizes = {}
    for n_lines in asked.lines:
        command = [sys.executable, "-m", "benchmarks.lifecycle.heavy_user", "--one", str(n_lines)]
        command += ["--memory-gib", str(asked.memory_gib)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            raise SystemExit(done.returncode)
        sizes[str(n_lines)] = json.loads(done.stdout.splitlines()[-1])
        print(n_lines, json.dumps(sizes[str(n_lines)], indent=1), flush=True)
    write_result("heavy_shopper", {"lines": sizes})


if __name__ == "__main__":
    main()
