"""Measure one request's time in the exported graph when the shop has many more items.

    uv run python -m benchmarks.serving.many_items [--items 100000]

The default model with random weights, once for the shop's own items and once with made-up ones
besides: they have sales, offers and classes of real ones, so they are candidates like them. The
same requests go through both, one at a time, in ONNX Runtime on one thread. Writes
benchmarks/results/many_items.json with the milliseconds and their ratio.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.machine import write_result
from pipeline.contracts.params import read_params
from pipeline.runtime.stage import quiet_tools

N_REQUESTS = 400
N_ROUNDS = 3
K = 10


def exported(tables: Any, params: Any, n_codes: tuple[int, ...], path: Path) -> Any:
    """Return a session of the default model's graph over these items, with random weights."""
    from pipeline.recommenders.onnx.graph import export_onnx, open_session
    from pipeline.recommenders.ranker.features import N_FEATURES
    from pipeline.recommenders.ranker.graph import RankerGraph
    from pipeline.recommenders.ranker.network import build_network

    ranker = params.families.ranker
    graph = RankerGraph(tables, ranker, n_codes, seed=0)
    middle, spread = np.zeros(N_FEATURES), np.ones(N_FEATURES)
    graph.network = build_network(middle, spread, ranker, "mlp", tables.n_types)
    export_onnx(graph, path)
    return open_session(path)


def with_more(tables: Any, n_items: int) -> Any:
    """Return the tables of a shop that has made-up items besides its own."""
    own = len(tables.type_code)
    twin = np.concatenate(
        [np.arange(own), np.random.default_rng(0).integers(1, own, max(n_items - own, 0))]
    )
    state, offers = tables.state, tables.offers
    return replace(
        tables,
        state=replace(state, values=state.values[twin], popularity=state.popularity[twin]),
        offers=replace(offers, table=offers.table[:, twin]),
        type_code=tables.type_code[twin],
        category_code=tables.category_code[twin],
    )


def milliseconds(session: Any, requests: Sequence[Any]) -> dict[str, float]:
    """Return percentiles over all requests and rounds."""
    from pipeline.recommenders.onnx.graph import build_feed, input_types

    types = input_types(session)
    feeds = [build_feed(types, request, K) for request in requests]
    for feed in feeds:
        session.run(None, feed)
    taken = []
    for feed in feeds * N_ROUNDS:
        started = time.perf_counter()
        session.run(None, feed)
        taken.append((time.perf_counter() - started) * 1e3)
    return {
        name: round(float(np.percentile(taken, q)), 2) for name, q in (("p50", 50), ("p99", 99))
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.serving.many_items",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--items", type=int, default=100_000)
    asked = parser.parse_args()
    quiet_tools()
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.recommenders.ranker.graph import build_item_tables, code_counts

    params = read_params()
    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    everything = shop.rolling.requests
    chosen = np.random.default_rng(0).choice(len(everything), N_REQUESTS, replace=False)
    requests = [everything.part(at, at + 1) for at in chosen.tolist()]
    tables = build_item_tables(shop, shop.cutoff, params.families.popular_days)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, each in {"own": tables, "many": with_more(tables, asked.items)}.items():
            path = Path(scratch) / f"{name}.onnx"
            session = exported(each, params, code_counts(shop), path)
            found[name] = {"n_items": len(each.type_code), **milliseconds(session, requests)}
    found["ratio"] = {q: round(found["many"][q] / found["own"][q], 2) for q in ("p50", "p99")}
    print(write_result("many_items", found).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
