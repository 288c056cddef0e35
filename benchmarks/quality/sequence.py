"""How families do on an event file, in the way of published next-item tables.

    uv run python -m benchmarks.quality.sequence --events ratings.csv --core 5
    uv run python -m benchmarks.quality.sequence --synthetic movielens-1m --epochs 3

Every item that was sold before the test moment is ranked; nothing is sampled. Protocols:

- leave-one-out: each user's last item is the test, the one before it validation. It leaks the
  future (Ji et al., 2020, arXiv:2010.11060): only for comparison with papers.
- temporal: the last tenth of all events is the test, the tenth before it validation. Asked for is
  each user's first event after the split, or with --targets all every event, each from the
  history up to it. Users without a history are left out and counted.

With `--seen remove` a user's earlier items are not ranked; one that is wanted again is missed.
A wanted item that nobody bought before the test moment is missed too. With one wanted item,
recall@k is the hit rate, and P@20 of session-based papers is the same number as recall@20.
Families learn with params.yaml, whole catalogues and the given --epochs and --max-length.
Each family runs in a process of its own. Times: `fit_seconds` is everything, early stop included;
`epoch_seconds` and `tokens_per_second` of sasrec are training alone, see `sequence_profile`.
Adds to benchmarks/results/sequence.json.
"""

import argparse
import contextlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.sequence_events import (
    SHAPES,
    Split,
    core,
    leave_one_out,
    read_events,
    synthetic,
    temporal,
)
from benchmarks.support import machine
from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import FamiliesParams, read_params
from pipeline.metrics import ranking
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Ranked
from pipeline.recommenders.base.training_data import build_example_requests, encode_labels
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.fitting.threads import configure_threads
from pipeline.recommenders.names import FAMILIES, HISTORY_ENCODERS
from pipeline.runtime.stage import quiet_tools

CHOICES = ("popular", *(name for name in FAMILIES if name not in HISTORY_ENCODERS))
CUTOFFS = (10, 20)
FOR_EVER = 10**6


@dataclass(frozen=True)
class Settings:
    """What is run on a split.

    Attributes:
        families: Sections of all families, made fit for the data set.
        seed: For everything random.
        seen: "keep" or "remove".
    """

    families: FamiliesParams
    seed: int
    seen: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    args = _parser().parse_args(argv)
    quiet_tools()
    try:
        name, split = _split_of(args)
        settings = settings_of(split, args.epochs, args.max_length, args.seen)
        found = {family: _alone(family, split, settings) for family in args.families}
    except EvergreenError as error:
        print(f"sequence failed. {error}", file=sys.stderr)
        return 1
    protocol = f"{args.protocol} {args.targets}" if args.protocol == "temporal" else args.protocol
    run = {
        "data": _numbers_of(split),
        "protocol": protocol,
        "seen": args.seen,
        "families": found,
    }
    runs = _earlier() | {f"{name}, {protocol}, seen {args.seen}": run}
    print(machine.write_result("sequence", {"runs": runs}).read_text(encoding="utf-8"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.quality.sequence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--events", type=Path, help="a Parquet or CSV file")
    source.add_argument("--synthetic", choices=sorted(SHAPES), help="random walks of that shape")
    protocols = ("leave-one-out", "temporal")
    parser.add_argument("--protocol", choices=protocols, default=protocols[0])
    parser.add_argument("--targets", choices=("first", "all"), default="first")
    parser.add_argument("--families", nargs="+", choices=CHOICES, default=["popular", "sasrec"])
    parser.add_argument("--seen", choices=("keep", "remove"), default="remove")
    parser.add_argument("--core", type=int, default=0, help="events that users and items keep")
    parser.add_argument("--epochs", type=int, help="at most; params.yaml says otherwise")
    parser.add_argument("--max-length", type=int, help="of sasrec; params.yaml says otherwise")
    return parser


def _split_of(args: argparse.Namespace) -> tuple[str, Split]:
    """Return the name of the data set, and the split."""
    if args.synthetic:
        name, events = f"synthetic {args.synthetic}", synthetic(SHAPES[args.synthetic])
    else:
        name, events = args.events.stem, read_events(args.events)
    events = core(events, args.core)
    if args.protocol == "temporal":
        return name, temporal(events, every=args.targets == "all")
    return name, leave_one_out(events)


def settings_of(split: Split, epochs: int | None, max_length: int | None, seen: str) -> Settings:
    """Return params.yaml for this data set: the whole catalogue, popularity of all time."""
    params = read_params()
    n_items = len(split.shop.vocabulary)
    sections = {}
    for name in CHOICES[1:]:
        section = params.families.of(name)
        wanted = {
            "epochs": epochs,
            "max_length": max_length,
            "maximum_items": n_items,
            "explore_catalogue": n_items,
        }
        known = {key: v for key, v in wanted.items() if v and hasattr(section, key)}
        sections[name] = section.model_copy(update=known)
    families = params.families.model_copy(update={**sections, "popular_days": FOR_EVER})
    return Settings(families, params.shop.seed, seen)


def _alone(family: str, split: Split, settings: Settings) -> dict[str, Any]:
    """Return what a family does, measured in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, family, split, settings).result()


def measure(family: str, split: Split, settings: Settings) -> dict[str, Any]:
    """Return quality, seconds and memory of one family on a split."""
    quiet_tools()
    configure_threads(family)
    from benchmarks.quality.sequence_profile import profile
    from pipeline.recommenders.base.items import compute_item_state
    from pipeline.recommenders.base.saved import GraphRecommender
    from pipeline.recommenders.baselines.frequency import PopularGraph
    from pipeline.training.fit.candidates import fit_family

    shop = split.shop
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # for checkpoints
        began = time.perf_counter()
        if family == "popular":
            n_items = len(shop.vocabulary)
            state = compute_item_state(shop.histories, n_items, shop.cutoff, popular_days=FOR_EVER)
            graph = PopularGraph(state.popularity, n_items)
            recommender = GraphRecommender({"name": family}, shop.vocabulary, graph)
        else:
            fitted, recommender = fit_family(family, shop, settings.families, seed=settings.seed)
            found["epochs"] = {part: fit.epochs for part, fit in fitted.fits.items()}
            found["epochs_run"] = {part: len(fit.curve) for part, fit in fitted.fits.items()}
            found["curves"] = {part: fit.curve for part, fit in fitted.fits.items()}
        found["fit_seconds"] = round(time.perf_counter() - began, 2)
    began = time.perf_counter()
    found |= quality(recommender, split, settings.seen)
    found["test_seconds"] = round(time.perf_counter() - began, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["peak_gib"] = round(peak / 2**20, 2)
    if family == "sasrec":
        found |= profile(shop, settings.families.sasrec)
    return found


def quality(recommender: Any, split: Split, seen: str) -> dict[str, float]:
    """Return the metrics over the test examples."""
    shop = split.shop
    histories = build_histories(split.events, shop.vocabulary)
    requests = build_example_requests(
        split.test, histories, shop.vocabulary, shop.attributes, "UTC"
    )
    ranked = recommender.rank(requests, max(CUTOFFS))
    items = ranked.explore_items if seen == "remove" else merged(ranked)
    rows, wanted = encode_labels(split.test, shop.vocabulary)
    hits, n_true = ranking.hit_matrix(items, rows, wanted), np.ones(len(requests), dtype=int)
    found = {}
    for k in CUTOFFS:
        found[f"recall@{k}"] = ranking.recall_at_k(hits, n_true, k)
        found[f"ndcg@{k}"] = ranking.ndcg_at_k(hits, n_true, k)
    found["p@20"] = ranking.hit_rate_at_k(hits, n_true, 20)
    found["mrr@20"] = ranking.mrr_at_k(hits, n_true, 20)
    return {name: round(float(values.mean()), 5) for name, values in found.items()}


def merged(ranked: Ranked) -> Ints:
    """Return [n, k] the best of what was bought before and what was not, by score."""
    again = (ranked.explore_items[:, :, None] == ranked.repeat_items[:, None, :]).any(axis=2)
    new = np.where(again, 0, ranked.explore_items)  # the popular list has no other kind
    items = np.concatenate([ranked.repeat_items, new], axis=1)
    scores = np.concatenate([ranked.repeat_scores, ranked.explore_scores], axis=1)
    order = np.argsort(-np.where(items > 0, scores, -np.inf), axis=1, kind="stable")
    best = np.take_along_axis(items, order, axis=1)[:, : ranked.repeat_items.shape[1]]
    return np.asarray(best, dtype=np.int32)


def _numbers_of(split: Split) -> dict[str, int]:
    return {
        "n_users": split.events["user_id"].nunique(),
        "n_items": split.events["item_id"].nunique(),
        "n_events": len(split.events),
        "n_test": len(split.test),
        "n_cold_left_out": split.n_cold,
        "n_ranked_items": len(split.shop.vocabulary) - 1,
    }


def _earlier() -> dict[str, Any]:
    """Return the runs that the result file already has."""
    path = machine.RESULTS / "sequence.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
