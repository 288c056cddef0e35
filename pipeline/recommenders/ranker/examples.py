"""Training examples as numbers: features are computed once per cut-off and kept, not per epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline.recommenders.base.graph import SIGNATURE, own_in_cart, read_batch, tensors_of
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import in_parts
from pipeline.recommenders.base.shop import TrainingData, labels_of
from pipeline.recommenders.ranker.features import RANK, last_ages
from pipeline.recommenders.ranker.graph import RankerGraph


@dataclass(frozen=True)
class RepeatPairs:
    """Pairs of a request and an item that its user bought before, request by request.

    Attributes:
        features: [n_pairs, n_features] in half precision.
        ages: [n_pairs, n_ages] in half precision.
        kind: [n_pairs] code of the product type.
        item: [n_pairs] item index.
        row: [n_pairs] request.
        wanted: [n_pairs] relevance, 0 where it was not bought.
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
        """Return the pairs of the requests for which `chosen` [n] is true, numbered from 0."""
        mine = chosen[self.row]
        return RepeatPairs(
            features=self.features[mine],
            ages=self.ages[mine],
            kind=self.kind[mine],
            item=self.item[mine],
            row=(np.cumsum(chosen) - 1)[self.row[mine]],
            wanted=self.wanted[mine],
            n=int(chosen.sum()),
        )


def extractor(graph: RankerGraph, n_ages: int) -> Any:
    """Return a function of the tensors of SIGNATURE.

    It returns features, ages, kinds, items, rows and what is not in the cart, of each own item.
    """

    @tf.function(input_signature=tuple(SIGNATURE.values()))  # type: ignore[untyped-decorator]
    def extract(*inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch = read_batch(dict(zip(SIGNATURE, inputs, strict=True)))
        features = tf.cast(graph.features(batch), tf.float16)
        ages = tf.cast(last_ages(batch, n_ages), tf.float16)
        kind = tf.gather(graph.features.type_code, batch.own_item)
        keep = tf.logical_not(own_in_cart(batch))
        return features, ages, kind, batch.own_item, batch.own_row, keep

    return extract


def repeat_pairs(
    requests: Requests, labels: "Labels", extract: Any, maximum_candidates: int | None = None
) -> RepeatPairs:
    """Return the own items of all requests; what is in the cart is left out.

    Args:
        requests: What is asked.
        labels: What was wanted.
        extract: From `extractor`.
        maximum_candidates: Keep the strongest per request; None for all.
    """

    def one(part: Requests) -> list[Any]:
        found = [tensor.numpy() for tensor in extract(*tensors_of(part).values())]
        features, keep = found[0], found[-1]
        if maximum_candidates is not None:
            keep = keep & (np.expm1(features[:, RANK].astype(np.float32)) < maximum_candidates)
        return [*(values[keep] for values in found[:-1]), len(part)]

    parts = in_parts(requests, one)
    offsets = np.cumsum([0, *[part[5] for part in parts]])
    features, ages, kind, item = (np.concatenate([part[at] for part in parts]) for at in range(4))
    row = np.concatenate([p[4] + offset for p, offset in zip(parts, offsets, strict=False)])
    wanted = labels.relevance_of(row, item)
    return RepeatPairs(features, ages, kind, item, row, wanted, len(requests))


@dataclass(frozen=True)
class Labels:
    """What was wanted: label pairs in the order of `key`, which is row * n_items + item."""

    key: np.ndarray[Any, Any]
    relevance: np.ndarray[Any, Any]
    n_items: int

    @classmethod
    def of(cls, examples: pd.DataFrame, shop: TrainingData) -> "Labels":
        """Return the labels of the examples; items out of the vocabulary are left out."""
        rows, items = labels_of(examples, shop.vocabulary)
        relevance = np.concatenate([np.zeros(0), *examples["relevance"]]).astype(np.float32)
        n_items = len(shop.vocabulary)
        key = rows.astype(np.int64) * n_items + items
        known = np.flatnonzero(items > 0)
        order = known[np.argsort(key[known], kind="stable")]
        return cls(key[order], relevance[order], n_items)

    @property
    def pairs(self) -> np.ndarray[Any, Any]:
        """[n_labels, 2] request and item index."""
        found = np.stack([self.key // self.n_items, self.key % self.n_items], axis=1)
        return found.astype(np.int32)

    def relevance_of(
        self, row: np.ndarray[Any, Any], item: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """Return the relevance of each pair, 0 where it is no label."""
        key = row.astype(np.int64) * self.n_items + item
        if not len(self.key):
            return np.zeros(len(key), dtype=np.float32)
        place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[place] == key, self.relevance[place], 0.0).astype(np.float32)


def joined(parts: list[RepeatPairs]) -> RepeatPairs:
    """Return the pairs of several cut-offs behind each other.

    Each part is let go once it is copied, so that memory holds the pairs once and not twice: the
    list is empty afterwards.
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
