"""Whether item vectors learned on all baskets help where few shoppers are known.

    uv run python -m benchmarks.quality.transfer
    uv run python -m benchmarks.quality.transfer --fractions 0.05 1.0 --seeds 1 2 3

A retailer often has every basket, but knows only the shoppers with a card. So item2vec learns on
all baskets before the validation window, and the ranker's explore head is fitted on the examples
of a random slice of shoppers, in the four ways of `families/ranker/transfer.py`. What an item
sells, its offers and its attributes are known to all four alike.

Evaluated is explore recall@10 (of what a shopper never bought) on the validation requests of all
shoppers: the same requests for every slice and way, so that numbers can be compared down and
across; a shopper outside the slice is a stranger to the model. One request in five stops the
training and is left out of the result. Slices are nested, and the same for all ways. Small slices
get more epochs and smaller batches, the same for all ways. Intervals are by bootstrap over users,
of the mean over seeds; `paired` is the difference to `scratch`.
Slices can be measured one by one: those of an earlier run of the same seeds are kept.
Writes benchmarks/results/transfer.json; run it in the project's root, after `dvc repro labeling`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pandas as pd

from benchmarks.support.machine import RESULTS, write_result
from pipeline.contracts.params import FamiliesParams, Params, RankerParams, read_params
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.runtime.stage import quiet_tools

WAYS: tuple[str, ...] = get_args(RankerParams.model_fields["item_vectors"].annotation)
FRACTIONS = (0.05, 0.1, 0.25, 1.0)
SMALL = 0.5
SMALL_BATCH = 64
MAXIMUM_EPOCHS = 6
K = 10
PART = 256

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Exam:
    """The requests that are reported on.

    Attributes:
        requests: Of validation, without those that stop the training.
        user: [n] code of each request's shopper.
        rows: [n_labels] request of each label.
        items: [n_labels] item index.
        n_new: [n] labels that the shopper had never bought.
    """

    requests: Requests
    user: Array
    rows: Array
    items: Array
    n_new: Array

    @classmethod
    def of(cls, shop: TrainingData) -> "Exam":
        """Take the rolling validation examples that `fit_explore` does not look at."""
        from pipeline.recommenders.ranker.examples import Labels
        from pipeline.recommenders.ranker.explore_fit import EXPLORE_VALIDATION, count_new

        rolling = shop.validation[shop.validation["protocol"] == "rolling"]
        step = max(2, len(rolling) // EXPLORE_VALIDATION)
        examples = rolling[np.arange(len(rolling)) % step > 0].reset_index(drop=True)
        rows, items = Labels.of(examples, shop).pairs.T
        requests = shop.build_requests(examples)
        user = pd.factorize(examples["user_id"])[0]
        n_new = count_new(requests, rows, items, len(shop.vocabulary))
        return cls(requests, user, rows, items, n_new)

    def recalls(self, graph: Any) -> Array:
        """Return [n] explore recall@10 of a graph; NaN where nothing new was bought."""
        import tensorflow as tf

        from pipeline.recommenders.base.batch import SIGNATURE, read_batch, to_tensors

        @tf.function(input_signature=tuple(SIGNATURE.values()))  # type: ignore[untyped-decorator]
        def top(*inputs: tf.Tensor) -> tf.Tensor:
            batch = read_batch(dict(zip(SIGNATURE, inputs, strict=True)))
            return graph.top_catalogue(batch, tf.constant(K))[0]

        starts = range(0, len(self.requests), PART)
        parts = [self.requests.part(s, min(s + PART, len(self.requests))) for s in starts]
        found = np.concatenate([top(*to_tensors(part).values()).numpy() for part in parts])
        return ranking.recall_at_k(ranking.hit_matrix(found, self.rows, self.items), self.n_new, K)


def slice_of(shop: TrainingData, fraction: float, seed: int) -> TrainingData:
    """Return the shop with the training examples of a random part of its shoppers.

    Slices of one seed are nested.
    """
    users = np.unique(shop.train["user_id"].to_numpy(dtype=object))
    order = np.random.default_rng(seed).permutation(len(users))
    chosen = users[order[: max(1, round(fraction * len(users)))]]
    train = shop.train[shop.train["user_id"].isin(chosen)].reset_index(drop=True)
    return replace(shop, train=train)


def params_for(params: FamiliesParams, fraction: float, way: str) -> FamiliesParams:
    """Return how the head learns from such a slice: the same for all ways."""
    changes: dict[str, Any] = {"item_vectors": way}
    if fraction < SMALL:
        epochs = min(MAXIMUM_EPOCHS, round(1 / fraction))
        changes |= {"explore_batch_size": SMALL_BATCH, "explore_epochs": epochs}
    return params.model_copy(update={"ranker": params.ranker.model_copy(update=changes)})


def fit_head(
    shop: TrainingData, params: FamiliesParams, vectors: Array, seed: int
) -> tuple[Any, int]:
    """Return a graph whose explore head is fitted on the slice, and the epochs it took."""
    from pipeline.recommenders.fitting.family import validation_start
    from pipeline.recommenders.ranker.explore_fit import fit_explore
    from pipeline.recommenders.ranker.graph import RankerGraph, build_item_tables, code_counts

    tables = build_item_tables(shop, validation_start(shop), params.popular_days)
    graph = RankerGraph(tables, params.ranker, code_counts(shop), seed)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        fitted = fit_explore(graph, shop, params, seed=seed, epochs=None, vectors=vectors)
    return graph, fitted.epochs


def compare(
    shop: TrainingData, params: Params, fractions: Sequence[float], seeds: Sequence[int]
) -> dict[str, Any]:
    """Return the explore recall of every way on every slice, with intervals."""
    from pipeline.recommenders.ranker.transfer import fit_vectors

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        vectors = fit_vectors(shop, params.families, seed=params.shop.seed)
    seconds = {"item2vec": round(time.perf_counter() - began, 1)}
    exam = Exam.of(shop)
    settings = params.testing
    bootstrap = Bootstrap.of(
        exam.user, settings.bootstrap_samples, settings.confidence, params.shop.seed
    )
    slices: dict[str, Any] = {}
    for fraction in fractions:
        recalls: dict[str, list[Array]] = {way: [] for way in WAYS}
        epochs: dict[str, list[int]] = {way: [] for way in WAYS}
        for seed in seeds:
            part = slice_of(shop, fraction, seed)
            for way in WAYS:
                began = time.perf_counter()
                own = params_for(params.families, fraction, way)
                graph, taken = fit_head(part, own, vectors, seed)
                recalls[way].append(exam.recalls(graph))
                epochs[way].append(taken)
                seconds[f"{fraction} {way}"] = round(time.perf_counter() - began, 1)
                print(fraction, seed, way, np.nanmean(recalls[way][-1]), taken, flush=True)
        slices[str(fraction)] = {
            "users": int(part.train["user_id"].nunique()),
            "examples": len(part.train),
            "epochs": epochs,
            "recall": summary(recalls, bootstrap),
        }
    return {
        "measure": f"explore recall@{K}, rolling validation",
        "requests": int(np.count_nonzero(exam.n_new)),
        "seeds": list(seeds),
        "seconds": seconds,
        "slices": slices,
    }


def summary(recalls: dict[str, list[Array]], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return per way the mean, its interval, and its paired difference to `scratch`.

    Args:
        recalls: Per way and seed, [n] recall of each request.
        bootstrap: Over the users of the requests.
    """
    means = {way: np.mean(found, axis=0) for way, found in recalls.items()}
    return {
        way: {
            "mean": float(np.nanmean(values)),
            "interval": bootstrap.interval(values),
            "paired": bootstrap.paired(values, means["scratch"]),
        }
        for way, values in means.items()
    }


def added(before: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found, with the other slices of an earlier run of the same requests.

    >>> one = {"measure": "m", "requests": 2, "seeds": [1], "slices": {"0.1": 1}, "seconds": {}}
    >>> other = one | {"slices": {"0.5": 2}}
    >>> added(one, other)["slices"]
    {'0.1': 1, '0.5': 2}
    >>> added(one | {"seeds": [2]}, other)["slices"]
    {'0.5': 2}
    """
    if before is None or any(before[key] != found[key] for key in ("measure", "requests", "seeds")):
        return found
    parts = ("slices", "seconds")
    return found | {part: before[part] | found[part] for part in parts}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    wanted = parser.parse_args(arguments)
    quiet_tools()
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.recommenders.fitting.fit import set_seed

    params = read_params()
    set_seed(params.shop.seed)
    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    found = compare(shop, params, wanted.fractions, wanted.seeds)
    path = RESULTS / "transfer.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    write_result("transfer", added(before, found))


if __name__ == "__main__":
    main()
