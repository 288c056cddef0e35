"""Which measure of likeness finds the rest of a basket: the choice behind `/similar`.

    uv run python -m benchmarks.quality.similar [--baskets 3000]

Of each basket of the bundle's last four weeks one item is shown, by chance; the lists are made from
the baskets before. Reads models/champion. Writes benchmarks/results/similar.json.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.machine import write_result
from pipeline.bundles.bundle import load_bundle
from pipeline.contracts.artefacts import CHAMPION
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.serving.engine.similar import MINIMUM_TOGETHER, SimilarityIndex
from pipeline.serving.explanations.catalogue import build_catalogue

K = 10
HELD_OUT_DAYS = 28
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)

Scores = Callable[[int], "np.typing.NDArray[Any]"]


def main() -> None:
    """Measure every likeness on the same baskets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baskets", type=int, default=3_000)
    parser.add_argument("--bundle", type=Path, default=CHAMPION.path)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    as_of = bundle.manifest.as_of_moment
    start = as_of.timestamp() - HELD_OUT_DAYS * DAY
    known = part_of(bundle.histories, bundle.histories.time < start)
    later = part_of(bundle.histories, bundle.histories.time >= start)
    similar = SimilarityIndex(known, build_catalogue(bundle.items, known, as_of=as_of))
    questions = questions_of(later, arguments.baskets)
    vectors = bundle.recommender.module.explore.items.numpy()
    numbers = {
        name: hit_rates(scores, questions) for name, scores in measures(similar, vectors).items()
    }
    write_result("similar", {"n_baskets": len(questions), "k": K, "measures": numbers})
    for name, found in numbers.items():
        print(f"{name:<32} {found}")


def part_of(histories: Histories, chosen: "np.typing.NDArray[np.bool_]") -> Histories:
    """Return the histories with the chosen lines only."""
    splits = np.concatenate([[0], np.cumsum(chosen)])[histories.row_splits]
    names = ("item", "time", "basket", "quantity", "price", "store")
    lines = {name: getattr(histories, name)[chosen] for name in names}
    return replace(histories, row_splits=splits, **lines)


def questions_of(later: Histories, n: int) -> list[tuple[int, set[int]]]:
    """Return one item of each of `n` baskets of at least two, and the rest of the basket."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(len(later.user_ids)), np.diff(later.row_splits))
    baskets: dict[tuple[int, int], list[int]] = {}
    for key, item in zip(
        zip(user.tolist(), later.basket.tolist(), strict=True), later.item.tolist(), strict=True
    ):
        baskets.setdefault(key, []).append(item)
    usable = [items for items in baskets.values() if len(items) > 1]
    found = []
    for at in random.permutation(len(usable))[:n]:
        items = usable[at]
        shown = items[random.integers(len(items))]
        found.append((shown, set(items) - {shown}))
    return found


def measures(similar: SimilarityIndex, vectors: "np.typing.NDArray[Any]") -> dict[str, Scores]:
    """Return every likeness by name."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def by_count(power: float) -> Scores:
        def scores(item: int) -> "np.typing.NDArray[Any]":
            together = similar.count_together(item)
            known = np.where(together < MINIMUM_TOGETHER, 0, together)
            return np.asarray(known / similar.n_baskets**power)

        return scores

    found: dict[str, Scores] = {"popular": lambda _: similar.n_baskets}
    found |= {f"together / sales**{power}": by_count(power) for power in POWERS}
    found["cosine of the explore vectors"] = lambda item: unit @ unit[item]
    return found


def hit_rates(scores: Scores, questions: list[tuple[int, set[int]]]) -> dict[str, float]:
    """Return how many baskets have a listed item, and the share of each basket that is listed."""
    hits, recall, listed = [], [], set()
    for item, rest in questions:
        values = np.array(scores(item), dtype=np.float64)
        values[[0, item]] = -np.inf
        best = np.argsort(-values, kind="stable")[:K].tolist()
        listed |= set(best)
        n_found = len(rest & set(best))
        hits.append(n_found > 0)
        recall.append(n_found / len(rest))
    return {
        f"hit_rate@{K}": round(float(np.mean(hits)), 4),
        f"recall@{K}": round(float(np.mean(recall)), 4),
        "n_different_items": len(listed),
    }


if __name__ == "__main__":
    main()
