import numpy as np
import pytest

from pipeline.recommenders.requests import (
    Ints,
    Requests,
    Vocabulary,
    build_histories,
    build_requests,
)
from pipeline.serving.reasons import Catalogue, Reasons, bought, build_catalogue
from tests.fake_bundle import (
    ANN,
    AS_OF,
    BREAD,
    COFFEE,
    ITEMS,
    JAM,
    MILK,
    TEA,
    FakeBundle,
    purchases,
)

CAT = [("cat", "jam", "2024-02-26T09:00:00Z", "c1")]


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int32)


@pytest.fixture
def bundle() -> FakeBundle:
    return FakeBundle()


@pytest.fixture
def catalogue(bundle: FakeBundle) -> Catalogue:
    return build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)


def request(bundle: FakeBundle, user: str, *, cart: Ints, viewed: Ints) -> Requests:
    return build_requests(bundle.histories, [user], [AS_OF], carts=[cart], viewed=[viewed])


@pytest.mark.parametrize(
    ("ages", "sentence"),
    [
        ([0.5], "You bought it once, less than a day ago"),
        ([1.9], "You bought it once, 1 day ago"),
        ([3.0, 9.0], "You bought it 2 times, last 3 days ago"),
        ([2.0, 9.0, 16.0], "You bought it 3 times, last 2 days ago, about every 7 days"),
        ([0.1, 0.2, 0.3], "You bought it 3 times, last less than a day ago"),
        ([5.0, 6.0, 7.0], "You bought it 3 times, last 5 days ago, about every 1 day"),
    ],
)
def test_what_was_bought_is_told_in_days(ages: list[float], sentence: str) -> None:
    assert bought(np.array(ages, dtype=np.float32)) == sentence


def test_titles_fall_back_to_the_type(catalogue: Catalogue) -> None:
    assert catalogue.titles == ("", "Bread", "Coffee", "Jam", "Milk", "Black tea")


def test_shoppers_of_the_last_four_weeks_are_counted_once(catalogue: Catalogue) -> None:
    # Of the 29 days of February the first is more than 28 days before March.
    assert catalogue.n_shoppers.tolist() == [0, 1, 0, 1, 1, 1]


def test_milk_is_explained_by_its_purchases_and_the_bread_in_the_cart(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    reasons = Reasons(request(bundle, "ann", cart=ints(BREAD, JAM), viewed=ints()), catalogue)
    assert reasons.of(MILK) == [
        "You bought it 3 times, last 8 days ago, about every 10 days",
        "You bought it 2 times with Bread, in your cart",
    ]


def test_once_together_is_no_reason(bundle: FakeBundle, catalogue: Catalogue) -> None:
    reasons = Reasons(request(bundle, "ann", cart=ints(MILK), viewed=ints()), catalogue)
    assert reasons.of(JAM) == ["You bought it once, 8 days ago"]


def test_a_look_and_a_look_at_the_same_kind_are_reasons(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    reasons = Reasons(request(bundle, "ann", cart=ints(), viewed=ints(TEA)), catalogue)
    assert reasons.of(TEA) == ["New to you", "You just looked at it"]
    assert reasons.of(COFFEE) == ["New to you", "Of the same kind as Black tea, just looked at"]


def test_an_unknown_shopper_gets_only_facts(bundle: FakeBundle, catalogue: Catalogue) -> None:
    reasons = Reasons(request(bundle, "nobody", cart=ints(MILK), viewed=ints()), catalogue)
    for item in (BREAD, COFFEE, JAM, TEA):
        assert reasons.of(item) == ["New to you"]


def test_what_is_popular_says_how_many_bought_it_and_until_when() -> None:
    bundle = FakeBundle()
    bundle.histories = build_histories(purchases([*ANN, *CAT]), Vocabulary(ITEMS))
    catalogue = build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)
    reasons = Reasons(request(bundle, "nobody", cart=ints(), viewed=ints()), catalogue)
    assert reasons.of(JAM) == [
        "New to you",
        "2 shoppers bought it in the four weeks before 2024-03-01",
    ]


def test_others_of_the_same_group_are_counted_once_each() -> None:
    bundle = FakeBundle()
    bundle.items = bundle.items.assign(category="FOOD")
    catalogue = build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)
    reasons = Reasons(request(bundle, "ann", cart=ints(), viewed=ints()), catalogue)
    assert reasons.of(COFFEE) == ["New to you", "You bought 3 others from FOOD"]
