"""Where each family stands, and what it costs: all of them on the same validation requests.

    uv run python -m benchmarks.quality.families                 all families, one after the other
    uv run python -m benchmarks.quality.families --only gru sasrec

Each family is fitted with the values of params.yaml in a process of its own, so that its memory is
its own. What is done is kept in --scratch and not done again while the code, the parameters and the
data that decide it stay the same. The fit is that of the pipeline, without the learning curve of
the diagnosis. The test window is not touched.
Writes benchmarks/results/families.json and docs/families.md, anew after each family.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.machine import RESULTS, write_result
from benchmarks.support.own_process import PROJECT, Doubles, Measurement, digest_of
from pipeline.contracts.params import Params, read_params
from pipeline.recommenders.fitting.threads import configure_threads
from pipeline.recommenders.names import BASELINES, FAMILIES
from pipeline.runtime.stage import quiet_tools
from pipeline.testing.protocols import KNOWN, ROLLING

PAGE = PROJECT / "docs" / "families.md"
SOURCES = (
    "benchmarks/quality/families.py",
    "pipeline/recommenders",
    "pipeline/metrics/ranking.py",
    "pipeline/testing/measure.py",
    "pipeline/training/fit",
)
K = 10
METRICS = {
    "rolling": (f"recall@{K}", f"ndcg@{K}", f"explore_slots_recall@{K}"),
    "first_basket": (f"recall@{K}", f"ndcg@{K}"),
}
IDEAS = {
    "none": "ranker without an encoder of ages",
    "mlp": "ranker, dense layer over the last ages of a product",
    "cnn": "ranker, convolution over the ages",
    "gru": "ranker, recurrent encoder",
    "lstm": "ranker, recurrent encoder with a memory cell",
    "transformer": "ranker, self-attention over the ages",
    "sasrec": "self-attention over the sequence of purchases",
    "multvae": "autoencoder of the bag of purchases",
    "lightgcn": "graph of shoppers and products",
    "item2vec": "embeddings from baskets",
    "irgan": "generator of hard negatives against a discriminator",
}


def measure(name: str, params: Params) -> tuple[dict[str, Doubles], dict[str, Any]]:
    """Return the values of each validation request by "protocol/metric", and what the fit cost."""
    quiet_tools()
    configure_threads(name)
    from pipeline.recommenders.base.saved import GraphRecommender
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.recommenders.baselines.frequency import build_baseline
    from pipeline.recommenders.fitting.family import validation_start
    from pipeline.recommenders.registry import get_family
    from pipeline.testing.measure import EvaluationSet, compute_metrics, predict
    from pipeline.training.fit.candidates import fit_family

    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    opens = validation_start(shop)
    families = params.families.without_learning_curve()
    began = time.perf_counter()
    cost: dict[str, Any] = {}
    if name in BASELINES:
        graph = build_baseline(name, shop, params.training.baselines, opens)
    else:
        fitted, _ = fit_family(name, shop, families, seed=params.shop.seed)
        graph = get_family(name).at(opens, fitted.graph, shop, families)
        cost["epochs"] = {part: fit.epochs for part, fit in fitted.fits.items()}
    cost["fit_seconds"] = round(time.perf_counter() - began, 1)
    recommender = GraphRecommender({"name": name}, shop.vocabulary, graph)
    values: dict[str, Doubles] = {}
    for protocol, metrics in METRICS.items():
        of_protocol = shop.validation["protocol"] == protocol
        asked = shop.build_batch(shop.validation[of_protocol])
        questions = EvaluationSet.of(asked.examples, asked.requests, shop.vocabulary)
        began = time.perf_counter()
        answers = predict(recommender, questions, k=K, served_k=K, explore_slots=0)
        cost[f"{protocol}_seconds"] = round(time.perf_counter() - began, 2)
        found = compute_metrics(answers, questions, (K,))
        values |= {f"{protocol}/{metric}": found[metric] for metric in metrics}
        users = asked.examples["user_id"].to_numpy(dtype=object)
        values[f"{protocol}/user"] = np.unique(users, return_inverse=True)[1].astype(np.float64)
    cost["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return values, cost


def measurement(name: str, scratch: Path, params: Params) -> Measurement:
    """Return the measurement of a family, in a process of its own."""
    settings = (params.shop, params.families, params.training.baselines)
    key = digest_of(SOURCES, "".join(part.model_dump_json() for part in settings))
    return Measurement(name, ("benchmarks.quality.families", "--one", name), scratch / name, key)


def compared(
    cells: dict[str, tuple[dict[str, Doubles], dict[str, Any]]], default: str, params: Params
) -> dict[str, Any]:
    """Return per family its numbers with intervals, and the paired difference of the default."""
    from pipeline.metrics.bootstrap import Bootstrap

    testing = params.testing
    found: dict[str, Any] = {name: {"cost": cost} for name, (_, cost) in cells.items()}
    for protocol, metrics in METRICS.items():
        user = cells[default][0][f"{protocol}/user"].astype(np.int64)
        bootstrap = Bootstrap.of(
            user, testing.bootstrap_samples, testing.confidence, params.shop.seed
        )
        for name, (values, _) in cells.items():
            found[name][protocol] = {
                metric: {
                    "value": float(np.nanmean(values[f"{protocol}/{metric}"])),
                    "interval": bootstrap.interval(values[f"{protocol}/{metric}"]),
                    "default_leads": bootstrap.paired(
                        cells[default][0][f"{protocol}/{metric}"], values[f"{protocol}/{metric}"]
                    ),
                }
                for metric in metrics
            }
    return found


def page(found: dict[str, Any]) -> str:
    """Return docs/families.md."""
    default, families = found["default"], found["families"]
    head = (
        "# Families\n\n"
        "All families, fitted as in `make repro` on the same data and evaluated on the validation "
        f"window. `{default}` is the default: {_standing(default, families)}. {KNOWN[ROLLING]} "
        "The hour and the store of a first basket are unknown. "
        "Brackets: 95 % intervals by bootstrap over shoppers. Lead: default minus family, paired "
        "on the same requests. Fit seconds include features and explore head (cores: "
        f"{found['machine']['cores']}); score seconds cover all rolling requests. "
        "Written by `uv run python -m benchmarks.quality.families` at commit "
        f"{found['commit']}.\n\n"
    )
    columns = (
        "family",
        "what it is",
        f"recall@{K}",
        f"NDCG@{K}",
        f"lead of {default}, NDCG@{K}",
        f"first basket NDCG@{K}",
        f"explore recall@{K}",
        "fit s",
        "score s",
        "peak GiB",
    )
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    order = sorted(families, key=lambda n: -families[n]["rolling"][f"ndcg@{K}"]["value"])
    for name in order:
        cells = families[name]
        rolling, cost = cells["rolling"], cells["cost"]
        lead = rolling[f"ndcg@{K}"]["default_leads"]
        led = "–" if name == default else f"{_signed(lead['difference'])} {_ends(lead)}"
        idea = IDEAS.get(name, "frequency baseline")
        lines.append(
            f"| {name} | {idea} | {_cell(rolling[f'recall@{K}'])} | {_cell(rolling[f'ndcg@{K}'])} "
            f"| {led} | {_cell(cells['first_basket'][f'ndcg@{K}'])} "
            f"| {_cell(rolling[f'explore_slots_recall@{K}'])} | {cost['fit_seconds']:.0f} "
            f"| {cost['rolling_seconds']:.1f} | {cost['peak_gib']:.1f} |"
        )
    return head + "\n".join(lines) + "\n"


def _standing(default: str, families: dict[str, Any]) -> str:
    """Return how the default's rolling NDCG stands among the families."""
    leads = {
        name: cells["rolling"][f"ndcg@{K}"]["default_leads"] for name, cells in families.items()
    }
    ahead = [name for name, lead in leads.items() if lead["high"] < 0]
    if ahead:
        return f"yet {', '.join(ahead)} is ahead of it in rolling NDCG@{K} by an interval above 0"
    level = [name for name, lead in leads.items() if lead["low"] <= 0 and name != default]
    told = f"; level with it are {', '.join(level)}" if level else ""
    return f"no family is ahead of it in rolling NDCG@{K} by an interval above 0{told}"


def _cell(number: dict[str, Any]) -> str:
    low, high = number["interval"]
    return f"{number['value']:.4f} [{low:.4f}, {high:.4f}]"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _ends(lead: dict[str, float]) -> str:
    return f"[{_signed(lead['low'])}, {_signed(lead['high'])}]"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is asked and write the result."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.quality.families",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=FAMILIES, help="only these families")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    scratch = Path(tempfile.gettempdir()) / "evergreen-families"
    parser.add_argument("--scratch", type=Path, default=scratch, help="where results are kept")
    asked = parser.parse_args(argv)
    params = read_params()
    if asked.one:
        values, cost = measure(asked.one, params)
        np.savez_compressed("values.npz", allow_pickle=False, **values)
        Path("cost.json").write_text(json.dumps(cost), encoding="utf-8")
        return
    default = params.training.families[0]
    names = tuple(dict.fromkeys((default, *(asked.only or FAMILIES), "decayed")))
    cells = {}
    for name in names:
        measured = measurement(name, asked.scratch, params)
        measured.run()
        cells[name] = measured.values(), measured.cost()
        found = compared(cells, default, params)
        write_result("families", {"default": default, "families": found})
        written = json.loads((RESULTS / "families.json").read_text(encoding="utf-8"))
        PAGE.write_text(page(written), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
