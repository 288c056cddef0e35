"""What each group of features is worth: the ranker is fitted again without it.

    uv run python -m benchmarks.quality.ablation

On rolling validation, so the test window is not touched. Without a group means that its features
are constant, in training and in validation. What is done is kept in --scratch and not done again
while the code, the parameters and the data that decide it stay the same. Needs data/.
Writes benchmarks/results/ablation.json and docs/ablation.md.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks.support.machine import write_result
from benchmarks.support.own_process import digest_of
from pipeline.contracts.atomic import whole_file
from pipeline.contracts.params import Params, read_params
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.tables import read_training_data
from pipeline.recommenders.fitting.fit import clear_checkpoints, key_of
from pipeline.recommenders.ranker.examples import RepeatPairs
from pipeline.recommenders.ranker.features import GROUPS, NAMES
from pipeline.recommenders.ranker.repeat_fit import (
    K,
    Lists,
    best_hits,
    build_fresh_network,
    build_scorer,
    fit_network,
)
from pipeline.runtime.stage import quiet_tools
from pipeline.testing.protocols import KNOWN, ROLLING
from pipeline.training.search.search import Bench, build_bench

PAGE = Path("docs/ablation.md")
CODE = (
    "benchmarks/quality/ablation.py",
    "pipeline/metrics/ranking.py",
    "pipeline/recommenders",
    "pipeline/training/search",
)
HISTORY, KIND = "history (ages of the last purchases)", "kind (embedding of the product type)"

Doubles = npt.NDArray[np.float64]


@contextmanager
def without(group: str | None, bench: Bench) -> Iterator[None]:
    """Make a group of features constant in the training and the validation pairs, for a while."""
    kept = []
    for pairs in (bench.train, bench.validation.pairs):
        for values in _parts(group, pairs):
            kept.append((values, values.copy()))
            values[...] = 0
    try:
        yield
    finally:
        for values, before in kept:
            values[...] = before


def _parts(group: str | None, pairs: RepeatPairs) -> list[npt.NDArray[Any]]:
    """Return views of what belongs to the group."""
    if group is None:
        return []
    if group in (HISTORY, KIND):
        return [pairs.ages if group == HISTORY else pairs.kind]
    first = NAMES.index(GROUPS[group][0])
    return [pairs.features[:, first : first + len(GROUPS[group])]]


def measured(bench: Bench, group: str | None, kept: Path) -> tuple[Doubles, Doubles]:
    """Return what `measure` found, now or before; `kept` is a folder of this very setting."""
    key = key_of(kept.name, group)
    path = kept / f"{key}.npz"
    if not path.exists():
        with without(group, bench):
            recall, ndcg = measure(bench, key)
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, recall=recall, ndcg=ndcg)
    with np.load(path) as arrays:
        return arrays["recall"], arrays["ndcg"]


def measure(bench: Bench, key: str) -> tuple[Doubles, Doubles]:
    """Return recall@10 and NDCG@10 of each validation request, of a network fitted anew."""
    keras.utils.set_random_seed(bench.seed)
    network = build_fresh_network(bench.train, bench.n_kinds, bench.params, bench.family)
    fit_network(
        "ablation",
        network,
        Lists(bench.train),
        bench.validation,
        bench.params,
        seed=bench.seed,
        epochs=None,
        key=key,
    )
    clear_checkpoints()
    asked = bench.validation
    hits = best_hits(build_scorer(network)(asked.pairs), asked.pairs)
    return (
        ranking.recall_at_k(hits, asked.n_true, K),
        ranking.ndcg_at_k(hits, asked.n_true, K),
    )


def ablate(bench: Bench, params: Params, kept: Path) -> dict[str, Any]:
    """Return the quality of everything, and what is lost without each group."""
    testing = params.testing
    bootstrap = Bootstrap.of(
        bench.validation.user, testing.bootstrap_samples, testing.confidence, params.shop.seed
    )
    whole = measured(bench, None, kept)
    names = (f"recall@{K}", f"ndcg@{K}")
    found: dict[str, Any] = {
        "everything": {
            name: {"value": float(np.nanmean(values)), "interval": bootstrap.interval(values)}
            for name, values in zip(names, whole, strict=True)
        },
        "without": {},
    }
    for group in (*GROUPS, HISTORY, KIND):
        rest = measured(bench, group, kept)
        found["without"][group] = {
            name: {"value": float(np.nanmean(values))} | bootstrap.paired(values, all_values)
            for name, values, all_values in zip(names, rest, whole, strict=True)
        }
        print(group, found["without"][group], flush=True)
    return found


def table(found: dict[str, Any]) -> str:
    """Return docs/ablation.md."""
    everything = found["everything"]
    head = (
        "# Ablation\n\n"
        f"The family {found['family']} without one group of features at a time, evaluated on "
        f"rolling validation ({found['n_requests']:,} baskets from {found['opens']}). "
        f"{KNOWN[ROLLING]} "
        "Differences are paired with the full model, with 95 % intervals by bootstrap over "
        "shoppers. Each row is one fit; two seeds of the same setting differ by up to .0015 "
        "(docs/experiments.md), so smaller differences are not significant. Written by "
        f"`uv run python -m benchmarks.quality.ablation` at commit {found['commit']}.\n\n"
        f"| features | n | recall@{K} | difference | NDCG@{K} | difference |\n"
        "|---|---|---|---|---|---|\n"
    )
    cells = [f"| everything | {len(NAMES)} "]
    for name in (f"recall@{K}", f"ndcg@{K}"):
        low, high = everything[name]["interval"]
        cells.append(f"| {everything[name]['value']:.4f} [{low:.4f}, {high:.4f}] | ")
    lines = ["".join(cells) + "|"]
    order = sorted(
        found["without"], key=lambda group: found["without"][group][f"ndcg@{K}"]["difference"]
    )
    for group in order:
        cells = [f"| without {group} | {len(GROUPS.get(group, ())) or '–'} "]
        for name in (f"recall@{K}", f"ndcg@{K}"):
            value = found["without"][group][name]
            cells.append(
                f"| {value['value']:.4f} | {value['difference']:+.4f} "
                f"[{value['low']:+.4f}, {value['high']:+.4f}] "
            )
        lines.append("".join(cells) + "|")
    return head + "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(tempfile.gettempdir()) / "evergreen-ablation"
    parser.add_argument("--scratch", type=Path, default=default, help="where results are kept")
    scratch = parser.parse_args().scratch
    quiet_tools()
    params = read_params()
    windows = params.shop.windows()
    shop = read_training_data(params.shop, windows.test_start, learn_from=("train",))
    family = params.training.families[0]
    bench = build_bench(family, shop, params)
    settings = family + params.shop.model_dump_json() + params.families.model_dump_json()
    found = ablate(bench, params, scratch / digest_of(CODE, settings)) | {
        "family": family,
        "n_requests": len(bench.validation.n_true),
        "opens": f"{windows.validation_start:%Y-%m-%d}",
    }
    path = write_result("ablation", found)
    PAGE.write_text(table(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
