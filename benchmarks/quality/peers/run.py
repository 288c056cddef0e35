"""One method at one cut-off, in a process of its own: its memory is its own, and so is its crash.

    uv run python -m benchmarks.quality.peers.run METHOD CUTOFF FOLDER [PART=EPOCHS …]

Reads params.yaml and data/ in the working directory. Writes FOLDER/values.npz (one value per
request, by protocol, level and metric) and FOLDER/cost.json.
"""

import json
import logging
import resource
import sys
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.support.machine import n_cores
from pipeline.contracts.params import Params, read_params
from pipeline.recommenders.fitting.threads import configure_threads
from pipeline.runtime.stage import quiet_tools

K = 20
K_PRODUCTS = 100  # products in a list, so that there are enough types in it
LEVELS = ("product", "product_type")
DROPPED = ("mrr",)


def measure(
    name: str, day: date, params: Params, epochs: dict[str, int] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Return the values per request, by "protocol/level/metric", and what they cost."""
    from benchmarks.quality.peers.methods import fit_method
    from benchmarks.quality.peers.moment import read_moment, users_of
    from benchmarks.quality.peers.types import type_answers, type_questions
    from pipeline.testing.measure import compute_metrics

    moment = read_moment(day, params)
    tables_gib = peak_gib()
    started = perf_counter()
    fitted = fit_method(name, moment, params, epochs)
    fit_seconds = perf_counter() - started
    values: dict[str, np.ndarray] = {}
    rank_seconds: dict[str, float] = {}
    for protocol, questions in moment.questions.items():
        started = perf_counter()
        answers = fitted.answer(questions, K_PRODUCTS)
        rank_seconds[protocol] = round(perf_counter() - started, 2)
        values[f"{protocol}/users/code"] = users_of(questions.examples)
        found = {
            "product": compute_metrics(answers, questions, (10, K)),
            "product_type": compute_metrics(
                type_answers(answers, moment.types, K),
                type_questions(questions, moment.types),
                (10, K),
            ),
        }
        for level, metrics in found.items():
            kept = {m: v for m, v in metrics.items() if not m.startswith(DROPPED)}
            if level == "product_type":
                kept = {m: v for m, v in kept.items() if not m.startswith("explore_slots")}
            values |= {f"{protocol}/{level}/{m}": v for m, v in kept.items()}
    cost = {
        "fit_seconds": round(fit_seconds, 2),
        "rank_seconds": rank_seconds,
        "peak_gib": round(peak_gib(), 2),
        "tables_gib": round(tables_gib, 2),
        "cores": n_cores(),
        "notes": fitted.notes,
    }
    return values, cost


def peak_gib() -> float:
    """Return the most memory that this process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure, and write values first, so that cost.json says that the result is whole."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quiet_tools()
    name, day, folder = sys.argv[1], date.fromisoformat(sys.argv[2]), Path(sys.argv[3])
    configure_threads(name)
    epochs = {part: int(n) for part, n in (each.split("=") for each in sys.argv[4:])}
    values, cost = measure(name, day, read_params(), epochs)
    np.savez_compressed(folder / "values.npz", allow_pickle=False, **values)
    (folder / "cost.json").write_text(json.dumps(cost), encoding="utf-8")


if __name__ == "__main__":
    main()
