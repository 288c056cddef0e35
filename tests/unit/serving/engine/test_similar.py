"""Items bought together, counted by hand and by brute force."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.engine.similar import Similar
from pipeline.serving.explanations.catalogue import build_catalogue
from tests.support.fake_bundle import BREAD, ITEMS, JAM, MILK, TEA, FakeBundle, purchases

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


def similar(events: pd.DataFrame) -> Similar:
    histories = build_histories(events, Vocabulary(ITEMS))
    return Similar(histories, build_catalogue(FakeBundle().items, histories, as_of=AS_OF))


def rows(*baskets: tuple[str, tuple[str, ...]]) -> pd.DataFrame:
    return purchases(
        [
            (user, item, f"2024-02-{at + 1:02d}T09:00:00Z", f"{user}{at}")
            for at, (user, items) in enumerate(baskets)
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
    found = similar(rows(*baskets))
    for at, one in enumerate(ITEMS, start=1):
        expected = [0, *(pairs[one, other] for other in ITEMS)]
        assert found.together(at).tolist() == expected


def test_of_equal_counts_the_item_that_sells_less_is_more_alike() -> None:
    both = [("ann", ("milk", "jam", "bread"))] * 3
    found = similar(rows(*both, *[("bob", ("bread",))] * 5)).to(MILK, 5, frozenset())
    assert [each.item_id for each in found] == ["jam", "bread"]
    assert found[0].score == pytest.approx(3 / 3**0.25)
    assert found[1].score == pytest.approx(3 / 8**0.25)


def test_blocked_items_make_room_for_the_next() -> None:
    both = [("ann", ("milk", "jam", "bread"))] * 3
    found = similar(rows(*both)).to(MILK, 1, frozenset({BREAD}))
    assert [each.item_id for each in found] == ["jam"]
    assert similar(rows(*both)).to(MILK, 2, frozenset({BREAD, JAM})) == []


def test_an_item_nobody_bought_is_like_the_popular_ones_of_its_category() -> None:
    found = similar(rows(("ann", ("coffee",)))).to(TEA, 3, frozenset())
    assert [(each.item_id, each.reason) for each in found] == [("coffee", "Popular in hot drinks")]


def test_a_shop_without_purchases_has_no_pairs() -> None:
    found = similar(rows(("ann", ("milk",))).iloc[:0])
    assert found.together(MILK).sum() == 0
