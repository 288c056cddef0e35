"""Labels of examples as pairs of request and item."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.training_data import TrainingData, encode_labels
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.ranker.examples import Labels, RepeatPairs, join_pairs

VOCABULARY = Vocabulary(("bread", "milk", "tea"))
SHOP: Any = SimpleNamespace(vocabulary=VOCABULARY)
EXAMPLES = pd.DataFrame(
    {
        "labels": [["tea", "bread"], [], ["caviar", "milk"]],
        "relevance": [[1.0, 0.5], [], [1.0, 2.0]],
        "cutoff": pd.to_datetime(["2024-02-01", "2024-01-01", "2024-02-01"], utc=True),
    }
)


def test_labels_lie_behind_each_other_and_unknown_items_are_zero() -> None:
    rows, items = encode_labels(EXAMPLES, VOCABULARY)
    assert rows.tolist() == [0, 0, 2, 2]
    assert items.tolist() == [3, 1, 0, 2]


def test_a_pair_has_the_relevance_of_its_label_and_else_zero() -> None:
    labels = Labels.of(EXAMPLES, SHOP)
    row, item = np.array([0, 0, 0, 1, 2, 2]), np.array([1, 2, 3, 1, 2, 3])
    assert labels.relevance_of(row, item).tolist() == [0.5, 0.0, 1.0, 0.0, 2.0, 0.0]


def test_examples_without_labels_want_nothing() -> None:
    labels = Labels.of(EXAMPLES.iloc[[1]].reset_index(drop=True), SHOP)
    assert labels.relevance_of(np.array([0]), np.array([1])).tolist() == [0.0]


def test_examples_are_grouped_by_cutoff_from_early_to_late() -> None:
    data: Any = SimpleNamespace(
        train=EXAMPLES, build_batch=lambda part: part.reset_index(drop=True)
    )
    groups = TrainingData.windows.func(data)  # type: ignore[attr-defined]
    assert [pd.Timestamp(at, unit="s").month for at, _ in groups] == [1, 2]
    assert [part["labels"].tolist() for _, part in groups] == [
        [[]],
        [["tea", "bread"], ["caviar", "milk"]],
    ]


def pairs(rows: list[int], n: int) -> RepeatPairs:
    size = len(rows)
    return RepeatPairs(
        features=np.ones((size, 2)),
        ages=np.ones((size, 3)),
        kind=np.zeros(size),
        item=np.arange(size),
        row=np.array(rows),
        wanted=np.ones(size),
        n=n,
    )


def test_joined_pairs_keep_their_own_requests() -> None:
    joined = join_pairs([pairs([0, 0, 2], 3), pairs([], 1), pairs([1], 2)])
    assert joined.row.tolist() == pytest.approx([0, 0, 2, 5])
    assert (joined.n, joined.features.shape, joined.ages.shape) == (6, (4, 2), (4, 3))
