"""Measure how long monitoring takes to judge an event store, and whether size changes its verdict.

    uv run python -m benchmarks.lifecycle.monitoring [--copies 1 20 33]

The tests' synthetic shop answers four weeks of traffic, about 10,000 events and predictions. Larger
stores hold copies of its users under other ids, with the same histories. Each store is judged as it
is, and with random items in the logged answers, by the frequency baselines of the product. Rows
are those of the store, and those of all time that labels and histories come from. Writes
benchmarks/results/monitoring.json.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from benchmarks.support.machine import write_result
from pipeline.event_store.reader import EventStoreReader
from pipeline.event_store.store import EventStore
from pipeline.event_store.tables import EVENTS, PREDICTIONS
from pipeline.monitoring.context import build_context
from pipeline.monitoring.judge import Beside, MonitoringResult, judge
from pipeline.monitoring.methods import read_baselines
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.period import Period
from pipeline.monitoring.production import read_production
from pipeline.monitoring.replay import replay
from pipeline.monitoring.speed import measure_logged_speed
from pipeline.monitoring.traffic import select_traffic
from tests.support.habit_shop import HabitShop, K, make_shop

COPIES = (1, 20, 33)
GIB = 2**30
STEP_ROWS = 5_000
RESULT = "monitoring"


def copy_users(frame: pd.DataFrame, copies: int, names: list[str]) -> pd.DataFrame:
    """Return the rows once per copy of the users; `names` are the columns of ids to change."""
    parts = [
        frame if number == 0 else frame.assign(**{n: frame[n] + f"~{number}" for n in names})
        for number in range(copies)
    ]
    return pd.concat(parts, ignore_index=True)


def enlarge(shop: HabitShop, copies: int) -> MonitoringInputs:
    """Return the inputs before production, of so many copies of the users."""
    tables, start = shop.inputs.tables, shop.inputs.params.shop.windows().as_of
    before = tables.events[tables.events["timestamp"] < start]
    tested = tables.examples[tables.examples["split"] == "test"]
    enlarged = replace(
        tables,
        events=copy_users(before, copies, ["user_id", "basket_id"]),
        examples=copy_users(tested, copies, ["user_id", "basket_id"]),
        users=copy_users(tables.users, copies, ["user_id"]),
    )
    n_requests = shop.inputs.testing.n_requests * copies
    testing = shop.inputs.testing.model_copy(update={"n_requests": n_requests})
    return replace(shop.inputs, tables=enlarged, testing=testing)


def fill_store(shop: HabitShop, path: Path, copies: int) -> int:
    """Write the store of a service with so many copies of the users; return its rows."""
    url, params, tables = f"sqlite:///{path}", shop.inputs.params, shop.inputs.tables
    traffic = select_traffic(tables.examples, tables.events, params.monitoring, params.shop)
    with shop.serve(url) as service:
        replay(traffic, service, shop.inputs.vocabulary, k=K)
    store = EventStore(url)
    n_rows = 0
    try:
        for table, ids in ((EVENTS, ["event_id", "user_id", "basket_id"]),
                           (PREDICTIONS, ["request_id", "user_id"])):  # fmt: skip
            with store.database.reading("rows to copy") as connection:
                rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            n_rows += copies * len(rows)
            for number in range(1, copies):
                copied = [row | {name: _rename(row[name], number) for name in ids} for row in rows]
                for start in range(0, len(copied), STEP_ROWS):
                    with store.database.writing("copies of rows") as connection:
                        connection.execute(sa.insert(table), copied[start : start + STEP_ROWS])
    finally:
        store.close()
    return n_rows


def _rename(name: str, number: int) -> str:
    return f"{name[-24:]}~{number}" if len(name) > 24 else f"{name}~{number}"  # noqa: PLR2004


def damage(path: Path, n_items: int) -> None:
    """Replace the items of every logged answer by random ones."""
    random = np.random.default_rng(7)
    store = EventStore(f"sqlite:///{path}")
    try:
        with store.database.writing("random items") as connection:
            ids = connection.execute(sa.select(PREDICTIONS.c.request_id)).scalars().all()
            key: sa.BindParameter[str] = sa.bindparam("key")
            items = sa.bindparam("new", type_=sa.JSON)
            change = sa.update(PREDICTIONS).where(PREDICTIONS.c.request_id == key)
            drawn = random.integers(0, n_items, (len(ids), K))
            values = [
                {"key": name, "new": [f"i{item:03d}" for item in row]}
                for name, row in zip(ids, drawn.tolist(), strict=True)
            ]
            connection.execute(change.values(items=items), values)
    finally:
        store.close()


def judge_store(path: Path, inputs: MonitoringInputs) -> tuple[MonitoringResult, dict[str, float]]:
    """Return the result of monitoring with its wall-clock and processor seconds."""
    start, days = inputs.params.shop.windows().as_of, inputs.params.monitoring.replay_days
    period = Period(start, start + timedelta(days=days), datetime.now(UTC))
    wall, cpu = time.perf_counter(), time.process_time()
    with EventStoreReader(f"sqlite:///{path}") as reader:
        production = read_production(reader, period, inputs)
    inputs = replace(inputs, tables=production.tables)
    methods = read_baselines(inputs, inputs.params.training.baselines)
    context = build_context(production.traffic, production.replies, inputs, methods)
    speed = measure_logged_speed(production.requests["latency_ms"])
    result = judge(production.traffic, production.replies, inputs, Beside(speed, context))
    seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return result, {name: round(value, 2) for name, value in seconds.items()}


def measure(shop: HabitShop, copies: int) -> Iterator[dict[str, Any]]:
    """Yield the measurements of one size: sound, then damaged."""
    inputs = enlarge(shop, copies)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "events.db"
        n_rows = fill_store(shop, path, copies)
        for state in ("sound", "damaged answers"):
            if state != "sound":
                damage(path, len(inputs.vocabulary) - 1)
            result, seconds = judge_store(path, inputs)
            yield {
                "store": state,
                "rows_in_store": n_rows,
                "rows_of_all_time": n_rows + len(inputs.tables.events),
                "users": len(inputs.tables.users),
                **seconds,
                "peak_gib": round(
                    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, 2
                ),
                "load": round(os.getloadavg()[0], 1),
                "status": result.verdict.status,
                "target_phase": result.verdict.target_phase,
                "recall@10": result.metrics["quality"]["recall@10"]["value"],
            }


def main() -> None:
    """Measure every size and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, nargs="+", default=list(COPIES))
    copies = parser.parse_args().copies
    shop, rows = make_shop(), []
    read_baselines(shop.inputs, shop.inputs.params.training.baselines)  # imports TensorFlow
    for number in sorted(copies):
        for row in measure(shop, number):
            rows.append(row)
            print(row, flush=True)
    write_result(RESULT, {"sizes": rows})


if __name__ == "__main__":
    main()
