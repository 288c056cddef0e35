"""Save and load recommenders, and run their graphs."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from pipeline.contracts.errors import BundleError
from pipeline.recommenders.base.recommender import (
    SLOTS,
    Explanations,
    Ranked,
    Recommendations,
    Why,
    check_sizes,
    fill_places,
    fill_slots,
)
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.runtime.progress import log_progress

SAVED_MODEL = "saved_model"
MODEL = "model.json"
VOCABULARY = "vocabulary.json"
OLD_VOCABULARY = "vocabulary.txt"
"""One id per line, in bundles from before November 2026."""
PART = 256
N_THREADS = 2

T = TypeVar("T")
Arrays = dict[str, np.ndarray[Any, Any]]


def map_parts(requests: Requests, call: Callable[[Requests], T], *, size: int = PART) -> list[T]:
    """Return `call` of each part of the requests, in order, on two threads.

    The first part runs alone: two threads that trace the same TensorFlow function can deadlock
    when tracing fails.
    """
    starts = range(0, len(requests), size)
    parts = [requests.part(start, min(start + size, len(requests))) for start in starts]
    first = [call(part) for part in parts[:1]]
    with ThreadPoolExecutor(N_THREADS) as pool:
        rest = pool.map(call, parts[1:])
        return [*first, *log_progress(rest, f"{len(requests):,} requests", len(parts) - 1)]


@dataclass(frozen=True)
class GraphRecommender:
    """A TensorFlow graph with its vocabulary and description.

    Attributes:
        description: Contents of model.json: name, settings, cut-off, epochs.
        vocabulary: Items that the graph can recommend.
        module: A `RankingGraph` or a loaded SavedModel; the reference keeps it alive.
    """

    description: Mapping[str, Any]
    vocabulary: Vocabulary
    module: Any
    part_size: ClassVar[int] = PART

    @property
    def name(self) -> str:
        """Name of the method in reports."""
        return str(self.description["name"])

    def rank(self, requests: Requests, k: int) -> Ranked:
        """Return the top `k` items of each list, per request; k is at most the vocabulary size."""
        check_sizes(k)
        outputs = self._run_in_parts(requests, k, explained=False)
        return Ranked(**{name: outputs[name] for name in Ranked.__dataclass_fields__})

    def _run_in_parts(self, requests: Requests, k: int, *, explained: bool) -> Arrays:
        """Return the output arrays; many requests run in parts."""
        width = min(k, len(self.vocabulary))
        if len(requests) <= self.part_size:
            return self.run(requests, width, explained=explained)

        def run_part(part: Requests) -> Arrays:
            return self.run(part, width, explained=explained)

        parts = map_parts(requests, run_part, size=self.part_size)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def run(self, requests: Requests, k: int, *, explained: bool) -> Arrays:
        """Return the outputs of `RankingGraph.serve` or `serve_explained` as arrays."""
        from pipeline.recommenders.base.batch import to_tensors

        serve = self.module.serve_explained if explained else self.module.serve
        outputs = serve(*to_tensors(requests).values(), np.int32(k))
        return {name: values.numpy() for name, values in outputs.items()}

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        """Return the top `k` items per request, without those in its cart."""
        check_sizes(k, explore_slots)
        return fill_slots(self.rank(requests, k), k, explore_slots)

    def rank_explained(self, requests: Requests, k: int) -> tuple[Ranked, Why]:
        """Return the lists of `rank`, and a function that explains chosen items of these lists."""
        check_sizes(k)
        outputs = self._run_in_parts(requests, k, explained=True)
        # Copies, so that a cached list does not keep the memory of the runtime alive.
        ranked = Ranked(**{name: outputs[name].copy() for name in Ranked.__dataclass_fields__})
        contributions, fact_values = (
            np.concatenate([outputs[f"{slot}_{suffix}"] for slot in SLOTS], axis=1)
            for suffix in ("why", "facts")
        )
        groups, facts = outputs["groups"], outputs["facts"]

        def explain(places: np.ndarray[Any, Any]) -> Explanations:
            return Explanations(
                groups=_names(groups[: contributions.shape[2]]),
                why=_select_places(contributions, places),
                facts=_names(facts[: fact_values.shape[2]]),
                values=_select_places(fact_values, places),
            )

        return ranked, explain

    def explain(
        self, requests: Requests, k: int, *, explore_slots: int = 0
    ) -> tuple[Recommendations, Explanations]:
        """Return the items of `recommend` with the contributions to each score."""
        check_sizes(k, explore_slots)
        ranked, explain_places = self.rank_explained(requests, k)
        recommendations, places = fill_places(ranked, k, explore_slots)
        return recommendations, explain_places(places)

    def save(self, path: Path) -> None:
        """Write the graph, its description and its vocabulary to a folder."""
        import tensorflow as tf

        path.mkdir(parents=True, exist_ok=True)
        tf.saved_model.save(self.module, str(path / SAVED_MODEL))
        (path / SAVED_MODEL / "fingerprint.pb").unlink(missing_ok=True)  # differs from run to run
        text = json.dumps(dict(self.description), indent=2, sort_keys=True)
        (path / MODEL).write_text(text + "\n", encoding="utf-8")
        write_vocabulary(self.vocabulary, path)


def _names(values: np.ndarray[Any, Any]) -> tuple[str, ...]:
    return tuple(value.decode() for value in values)


def _select_places(
    values: np.ndarray[Any, Any], places: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return [n, k, dim] the columns `places` of [n, 3 * width, dim], 0 for -1."""
    rows = values[np.arange(len(values))[:, None], places]
    return np.where(places[:, :, None] >= 0, rows, np.float32(0.0))


def read_description(path: Path) -> dict[str, Any]:
    """Return the model.json in a recommender's folder.

    Raises:
        BundleError: The file is missing or damaged.
    """
    try:
        description: dict[str, Any] = json.loads((path / MODEL).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged_error(path / MODEL, error) from error
    return description


def load_recommender(path: Path) -> GraphRecommender:
    """Load a recommender from the folder that `Recommender.save` wrote.

    Raises:
        BundleError: A file is missing or damaged, or the vocabulary does not match the graph.
    """
    import tensorflow as tf

    description = read_description(path)
    vocabulary = read_vocabulary(path, description)
    try:
        module = tf.saved_model.load(str(path / SAVED_MODEL))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise damaged_error(path, error) from error
    return GraphRecommender(description, vocabulary, module)


def read_vocabulary(path: Path, description: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary in a recommender's folder.

    Raises:
        BundleError: The file is missing or damaged, or its size differs from the graph's.
    """
    ids = _read_ids(path)
    vocabulary = Vocabulary(ids)
    if len(vocabulary) != description["n_items"]:
        raise BundleError(
            f"{description['n_items'] - 1} items in the vocabulary in '{path}'",
            received=f"{len(ids)}",
            action="Run `uv run dvc checkout`, or train again.",
        )
    return vocabulary


def write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write the item ids to a recommender's folder as a JSON list, one id per line."""
    text = json.dumps(vocabulary.ids, indent=0, ensure_ascii=False)
    (path / VOCABULARY).write_text(text + "\n", encoding="utf-8", newline="\n")


def _read_ids(path: Path) -> tuple[str, ...]:
    old = path / OLD_VOCABULARY
    try:
        if old.is_file() and not (path / VOCABULARY).exists():
            return tuple(old.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
        ids = json.loads((path / VOCABULARY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged_error(path, error) from error
    if not (isinstance(ids, list) and all(isinstance(name, str) for name in ids)):
        raise damaged_error(path, ValueError(f"{VOCABULARY} is no list of texts"))
    return tuple(ids)


def damaged_error(path: Path, error: Exception) -> BundleError:
    """Return the error for a saved recommender that cannot be read."""
    return BundleError(
        f"a saved recommender at '{path}'",
        received=f"{type(error).__name__}: {str(error).splitlines()[0]}",
        action="Run `uv run dvc checkout`, or `uv run dvc repro training`.",
    )
