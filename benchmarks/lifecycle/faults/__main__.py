"""Inject faults into real production, and count how often monitoring names phase and cause.

    uv run python -m benchmarks.lifecycle.faults [--seeds 5] [--diagnosis] [--names …]

The requests of the weeks after `as_of` are answered by the champion in this process, with the
damaged tables, and judged by the code that judges production. With --diagnosis, faults of the data
and clean windows are diagnosed only: no request is answered, no quality restored, and faults of the
service are left out. Every run is appended to benchmarks/scratch/faults.jsonl at once, so a killed
benchmark goes on where it stopped. Clean windows resample the users. Writes
benchmarks/results/faults.json.
"""

import argparse
import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lifecycle.faults.catalogue import SINGLE, Fault
from benchmarks.lifecycle.faults.data_faults import Shop
from benchmarks.support.machine import write_result
from pipeline.contracts import artefacts
from pipeline.contracts.params import read_params
from pipeline.monitoring.diagnosis.build import build_case
from pipeline.monitoring.diagnosis.diagnose import diagnose
from pipeline.monitoring.diagnosis.repairs import describe_causes
from pipeline.monitoring.judge import Beside, MonitoringResult, judge
from pipeline.monitoring.methods import CHAMPION, read_methods
from pipeline.monitoring.monitor import read_inputs
from pipeline.monitoring.observe import MonitoringInputs, ProductionTables
from pipeline.monitoring.replay import Calls, Replies
from pipeline.monitoring.speed import Speed
from pipeline.monitoring.traffic import select_traffic
from pipeline.recommenders.base.recommender import Recommender

SCRATCH = Path("benchmarks/scratch/faults.jsonl")
STRENGTHS = ("strong", "weak")
FAST, SLOW = 0.005, 0.5  # seconds


def main() -> None:
    """Run what is missing, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each fault and strength")
    parser.add_argument("--clean", type=int, default=30, help="clean windows, users resampled")
    parser.add_argument("--requests", type=int, default=1000, help="judged requests of a run")
    parser.add_argument("--diagnosis", action="store_true", help="answer no request")
    parser.add_argument("--names", nargs="*", help="only these faults")
    arguments = parser.parse_args()
    logging.getLogger("evergreen").setLevel(logging.ERROR)
    done = {(run["fault"], run["strength"], run["seed"]) for run in read_runs()}
    world = World.read(arguments.requests)
    for fault, strength, seed in list_runs(arguments):
        is_done = ("clean" if fault is None else fault.name, strength, seed) in done
        is_of_service = fault is not None and fault.damage_tables is None
        if is_done or (arguments.diagnosis and is_of_service):
            continue
        run = world.diagnose if arguments.diagnosis else world.run
        append_run(run(fault, strength, seed))
    write_result("faults", summarise(read_runs()) | {"diagnosis_only": arguments.diagnosis})


def list_runs(arguments: argparse.Namespace) -> Iterator[tuple[Fault | None, str, int]]:
    """Yield fault, strength and seed of every run; no fault is a clean window."""
    names = arguments.names
    for seed in range(arguments.seeds):
        for strength in STRENGTHS:
            for fault in SINGLE:
                if not names or fault.name in names:
                    yield fault, strength, seed
    if not names or "clean" in names:
        for seed in range(arguments.clean):
            yield None, "none", seed


class World:
    """The sound shop, its champion, and the way to judge it."""

    def __init__(self, inputs: MonitoringInputs, champion: Recommender) -> None:
        self.inputs = inputs
        self.champion = champion
        self.start = pd.Timestamp(inputs.params.shop.windows().as_of)

    @classmethod
    def read(cls, n_requests: int) -> "World":
        """Read what monitoring reads."""
        params = read_params()
        monitoring = params.monitoring.model_copy(update={"maximum_requests": n_requests})
        inputs = read_inputs(params.model_copy(update={"monitoring": monitoring}))
        methods = read_methods(artefacts.CHAMPION.path, inputs, params.training.baselines)
        return cls(inputs, methods[CHAMPION])

    def run(self, fault: Fault | None, strength: str, seed: int) -> dict[str, Any]:
        """Return the line of one run."""
        started = time.monotonic()
        tables = self._damage(fault, strength, seed)
        result = self._judge(tables, fault, seed, strength)
        repairs = result.verdict.repairs
        causes = result.metrics["causes"]
        return {
            "fault": "clean" if fault is None else fault.name,
            "strength": strength,
            "seed": seed,
            "status": result.verdict.status,
            "phase": result.verdict.target_phase,
            "causes": list(dict.fromkeys(repair.cause for repair in repairs)),
            "steps": [repair.step.kind for repair in repairs],
            "gain": repairs[0].expected_gain if repairs else None,
            "beyond": {n: c["value"] for n, c in causes.items() if c["value"] > c["bound"]},
            "because": result.verdict.cause,
            "seconds": round(time.monotonic() - started, 1),
        }

    def diagnose(self, fault: Fault | None, strength: str, seed: int) -> dict[str, Any]:
        """Return the line of one run in which no request is answered."""
        started = time.monotonic()
        tables = self._damage(fault, strength, seed)
        params = self.inputs.params
        traffic = select_traffic(tables.examples, tables.events, params.monitoring, params.shop)
        result = diagnose(build_case(traffic, replace(self.inputs, tables=tables)))
        causes = result.causes
        return {
            "fault": "clean" if fault is None else fault.name,
            "strength": strength,
            "seed": seed,
            "status": "return" if causes else "proceed",
            "phase": causes[0].suspicion.phase if causes else None,
            "causes": [cause.measured.cause.name for cause in causes],
            "undone": [cause.is_undone for cause in causes],
            "beyond": {m.cause.name: float(m.value) for m in result.measured if m.excess},
            "because": describe_causes(result),
            "seconds": round(time.monotonic() - started, 1),
        }

    def _damage(self, fault: Fault | None, strength: str, seed: int) -> ProductionTables:
        days = self.inputs.params.monitoring.replay_days
        shop = Shop(self.inputs.tables, self.start, days, seed)
        return resample_users(shop) if fault is None else fault.tables(shop, strength)

    def _judge(
        self, tables: ProductionTables, fault: Fault | None, seed: int, strength: str
    ) -> MonitoringResult:
        inputs = replace(self.inputs, tables=tables)
        params = inputs.params
        traffic = select_traffic(tables.examples, tables.events, params.monitoring, params.shop)
        requests = inputs.build_evaluation_set(traffic.examples).requests
        served = self.champion.recommend(
            requests, inputs.k, explore_slots=inputs.testing.explore_slots
        )
        n = len(traffic.examples)
        replies = Replies(served, np.zeros(n, bool), np.full(n, 5.0), 0, Calls(n=n))
        if fault is not None:
            replies = fault.replies(replies, len(inputs.vocabulary), seed, strength)
        seconds = SLOW if fault is not None and fault.is_slow else FAST
        speed = Speed((seconds, float("inf")), (n, 0))
        return judge(traffic, replies, inputs, Beside(speed, champion=self.champion))


def resample_users(shop: Shop) -> ProductionTables:
    """Return sound tables of as many users, drawn with replacement; a repeat is another user."""
    users = np.sort(shop.tables.events["user_id"].unique())
    drawn = shop.random.choice(users, len(users))
    copies = pd.DataFrame({"user_id": drawn})
    copies["copy"] = copies.groupby("user_id").cumcount()

    def resample(frame: pd.DataFrame) -> pd.DataFrame:
        rows = frame.merge(copies, on="user_id")
        is_first = rows["copy"] == 0
        suffix = "-copy-" + rows["copy"].astype(str)
        names = {
            name: rows[name].where(is_first, rows[name] + suffix)
            for name in ("user_id", "basket_id")
        }
        return rows.assign(**names).drop(columns="copy").sort_values("timestamp", kind="stable")

    tables = shop.tables
    return replace(
        tables,
        events=resample(tables.events).reset_index(drop=True),
        examples=resample(tables.examples).reset_index(drop=True),
        users=resample(tables.users.assign(timestamp=0, basket_id="")).drop(
            columns=["timestamp", "basket_id"]
        ),
    )


def read_runs() -> list[dict[str, Any]]:
    """Return the runs so far."""
    if not SCRATCH.exists():
        return []
    return [json.loads(line) for line in SCRATCH.read_text(encoding="utf-8").splitlines()]


def append_run(run: dict[str, Any]) -> None:
    """Append a run, and print it."""
    SCRATCH.parent.mkdir(parents=True, exist_ok=True)
    with SCRATCH.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    words = (run["fault"], run["strength"], run["seed"], run["phase"], run["causes"])
    print(*words, f"{run['seconds']} s", flush=True)


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the shares over all runs, and the matrix of faults and causes."""
    right = {fault.name: fault for fault in SINGLE}
    faulty = [run for run in runs if run["fault"] in right]
    clean = [run for run in runs if run["fault"] == "clean"]
    matrix: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        matrix[run["fault"]][run["causes"][0] if run["causes"] else "healthy"] += 1
    return {
        "n_runs": len(faulty),
        "n_clean": len(clean),
        "routing_accuracy": _share(run["phase"] == right[run["fault"]].phases[0] for run in faulty),
        "cause_accuracy": _share(
            run["causes"][:1] == [right[run["fault"]].causes[0]] for run in faulty
        ),
        "false_route_fraction": _share(run["status"] != "proceed" for run in clean),
        "by_strength": {
            strength: {
                "routing_accuracy": _share(
                    run["phase"] == right[run["fault"]].phases[0]
                    for run in faulty
                    if run["strength"] == strength
                ),
                "cause_accuracy": _share(
                    run["causes"][:1] == [right[run["fault"]].causes[0]]
                    for run in faulty
                    if run["strength"] == strength
                ),
            }
            for strength in STRENGTHS
        },
        "matrix": {name: dict(counts) for name, counts in matrix.items()},
    }


def _share(values: Iterator[bool] | Any) -> float | None:
    flags = list(values)
    return round(sum(flags) / len(flags), 4) if flags else None


if __name__ == "__main__":
    main()
