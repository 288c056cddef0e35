"""Similar items, against counts by hand and by brute force."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.engine.similar import SimilarityIndex
from pipeline.serving.explanations.catalogue import build_catalogue
from tests.support.fake_bundle import BREAD, ITEMS, JAM, MILK, TEA, FakeBundle, purchases

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


def build_index(events: pd.DataFrame) -> SimilarityIndex:
    histories = build_histories(events, Vocabulary(ITEMS))
    return SimilarityIndex(histories, build_catalogue(FakeBundle().items, histories, as_of=AS_OF))


def rows(*baskets: tuple[str, tuple[str, ...]]) -> pd.DataFrame:
    return purchases(
        [
            (user, item, f"2024-02-{number + 1:02d}T09:00:00Z", f"{user}{number}")
            for number, (user, items) in enumerate(baskets)
            for item in items
        ]
    )


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_all_pairs_of_all_baskets(seed: int) -> None:
    random = np.random.default_rng(seed)
    baskets = [
        (
            ("ann", "bob", "cat")[random.integers(3)],
            tuple(random.choice(ITEMS, random.integers(1, 5), replace=False).tolist()),
        )
        for _ in range(25)
    ]
    pairs = Counter(
        (one, other) for _, items in baskets for one in items for other in items if one != other
    )
    similarity = build_index(rows(*baskets))
    for index, one in enumerate(ITEMS, start=1):
        expected = [0, *(pairs[one, other] for other in ITEMS)]
        assert similarity.count_together(index).tolist() == expected


def test_of_equal_counts_the_less_popular_item_is_more_similar() -> None:
    both = [("ann", ("milk", "jam", "bread"))] * 3
    similar = build_index(rows(*both, *[("bob", ("bread",))] * 5)).find(MILK, 5, frozenset())
    assert [item.item_id for item in similar] == ["jam", "bread"]
    assert similar[0].score == pytest.approx(3 / 3**0.25)
    assert similar[1].score == pytest.approx(3 / 8**0.25)


def test_blocked_items_are_replaced_by_the_next_ones() -> None:
    both = [("ann", ("milk", "jam", "bread"))] * 3
    similar = build_index(rows(*both)).find(MILK, 1, frozenset({BREAD}))
    assert [item.item_id for item in similar] == ["jam"]
    assert build_index(rows(*both)).find(MILK, 2, frozenset({BREAD, JAM})) == []


def test_an_item_without_purchases_is_similar_to_popular_items_of_its_category() -> None:
    similar = build_index(rows(("ann", ("coffee",)))).find(TEA, 3, frozenset())
    assert [(item.item_id, item.reason) for item in similar] == [
        ("coffee", "Popular in hot drinks")
    ]


def test_no_purchases_give_no_pairs() -> None:
    similarity = build_index(rows(("ann", ("milk",))).iloc[:0])
    assert similarity.count_together(MILK).sum() == 0
