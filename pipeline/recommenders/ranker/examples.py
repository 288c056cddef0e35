"""Training examples as arrays; features are computed once per cut-off, not per epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline.recommenders.base.batch import SIGNATURE, is_repeat_in_cart, read_batch, to_tensors
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import map_parts
from pipeline.recommenders.base.training_data import TrainingData, encode_labels
from pipeline.recommenders.ranker.features import RANK, last_ages
from pipeline.recommenders.ranker.graph import RankerGraph


@dataclass(frozen=True)
class RepeatPairs:
    """Repeat candidates of a set of requests, ordered by request.

    Attributes:
        features: [n_pairs, n_features] in half precision.
        ages: [n_pairs, n_ages] in half precision.
        kind: [n_pairs] code of the product type.
        item: [n_pairs] item index.
        row: [n_pairs] request.
        wanted: [n_pairs] relevance, 0 if the item was not bought.
        n: Number of requests.
    """

    features: np.ndarray[Any, Any]
    ages: np.ndarray[Any, Any]
    kind: np.ndarray[Any, Any]
    item: np.ndarray[Any, Any]
    row: np.ndarray[Any, Any]
    wanted: np.ndarray[Any, Any]
    n: int

    def of_requests(self, chosen: np.ndarray[Any, Any]) -> "RepeatPairs":
        """Return the pairs of the requests marked in `chosen` [n], renumbered from 0."""
        is_chosen = chosen[self.row]
        return RepeatPairs(
            features=self.features[is_chosen],
            ages=self.ages[is_chosen],
            kind=self.kind[is_chosen],
            item=self.item[is_chosen],
            row=(np.cumsum(chosen) - 1)[self.row[is_chosen]],
            wanted=self.wanted[is_chosen],
            n=int(chosen.sum()),
        )


def build_extractor(graph: RankerGraph, n_ages: int) -> Any:
    """Return a function of the tensors of SIGNATURE.

    It returns features, ages, kinds, items, rows and whether the item is outside the cart, for
    each repeat candidate.
    """

    @tf.function(input_signature=tuple(SIGNATURE.values()))  # type: ignore[untyped-decorator]
    def extract(*inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch = read_batch(dict(zip(SIGNATURE, inputs, strict=True)))
        features = tf.cast(graph.features(batch), tf.float16)
        ages = tf.cast(last_ages(batch, n_ages), tf.float16)
        kind = tf.gather(graph.features.type_code, batch.repeat_item)
        keep = tf.logical_not(is_repeat_in_cart(batch))
        return features, ages, kind, batch.repeat_item, batch.repeat_row, keep

    return extract


def build_repeat_pairs(
    requests: Requests, labels: "Labels", extract: Any, maximum_candidates: int | None = None
) -> RepeatPairs:
    """Return the repeat candidates of all requests, without items in the cart.

    Args:
        requests: Requests with their histories.
        labels: Labels of the requests.
        extract: From `build_extractor`.
        maximum_candidates: Strongest candidates to keep per request; None for all.
    """

    def extract_part(part: Requests) -> list[Any]:
        arrays = [tensor.numpy() for tensor in extract(*to_tensors(part).values())]
        features, keep = arrays[0], arrays[-1]
        if maximum_candidates is not None:
            keep = keep & (np.expm1(features[:, RANK].astype(np.float32)) < maximum_candidates)
        return [*(values[keep] for values in arrays[:-1]), len(part)]

    parts = map_parts(requests, extract_part)
    offsets = np.cumsum([0, *[part[5] for part in parts]])
    features, ages, kind, item = (np.concatenate([part[at] for part in parts]) for at in range(4))
    row = np.concatenate([p[4] + offset for p, offset in zip(parts, offsets, strict=False)])
    wanted = labels.relevance_of(row, item)
    return RepeatPairs(features, ages, kind, item, row, wanted, len(requests))


@dataclass(frozen=True)
class Labels:
    """Label pairs in the order of `key`, which is row * n_items + item."""

    key: np.ndarray[Any, Any]
    relevance: np.ndarray[Any, Any]
    n_items: int

    @classmethod
    def of(cls, examples: pd.DataFrame, data: TrainingData) -> "Labels":
        """Return the labels of the examples, without items outside the vocabulary."""
        rows, items = encode_labels(examples, data.vocabulary)
        relevance = np.concatenate([np.zeros(0), *examples["relevance"]]).astype(np.float32)
        n_items = len(data.vocabulary)
        key = rows.astype(np.int64) * n_items + items
        known = np.flatnonzero(items > 0)
        order = known[np.argsort(key[known], kind="stable")]
        return cls(key[order], relevance[order], n_items)

    @property
    def pairs(self) -> np.ndarray[Any, Any]:
        """[n_labels, 2] request and item index."""
        pairs = np.stack([self.key // self.n_items, self.key % self.n_items], axis=1)
        return pairs.astype(np.int32)

    def relevance_of(
        self, row: np.ndarray[Any, Any], item: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """Return the relevance of each pair, 0 if it is no label."""
        key = row.astype(np.int64) * self.n_items + item
        if not len(self.key):
            return np.zeros(len(key), dtype=np.float32)
        place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[place] == key, self.relevance[place], 0.0).astype(np.float32)


def join_pairs(parts: list[RepeatPairs]) -> RepeatPairs:
    """Return the concatenated pairs of several cut-offs.

    Removes each part from the list once it is copied, so that memory holds the pairs only once.
    """
    ends = np.cumsum([len(part.row) for part in parts])
    first = parts[0]
    columns = {
        name: np.empty((ends[-1], *values.shape[1:]), dtype=values.dtype)
        for name in ("features", "ages", "kind", "item", "row", "wanted")
        for values in [getattr(first, name)]
    }
    n = 0
    for end in ends:
        part = parts.pop(0)
        inside = slice(end - len(part.row), end)
        for name, column in columns.items():
            column[inside] = getattr(part, name)
        columns["row"][inside] += n
        n += part.n
    return RepeatPairs(**columns, n=n)
