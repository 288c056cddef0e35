from dataclasses import replace

import numpy as np
import pytest

from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.vocabulary import Ints, Vocabulary
from pipeline.serving.explanations.catalogue import Catalogue, build_catalogue
from pipeline.serving.explanations.reasons import Reasons, bought
from tests.support.fake_bundle import (
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
FRIDAY = 4  # AS_OF, midnight


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int32)


@pytest.fixture
def bundle() -> FakeBundle:
    return FakeBundle()


@pytest.fixture
def catalogue(bundle: FakeBundle) -> Catalogue:
    return build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)


def request(
    bundle: FakeBundle, user: str, *, cart: Ints | None = None, viewed: Ints | None = None
) -> Requests:
    nothing = ints()
    return build_requests(
        bundle.histories,
        [user],
        [AS_OF],
        carts=[nothing if cart is None else cart],
        viewed=[nothing if viewed is None else viewed],
    )


def told(
    asked: Requests,
    catalogue: Catalogue,
    item: int,
    /,
    facts: dict[str, float] | None = None,
    **why: float,
) -> list[str]:
    found = Reasons(asked, catalogue).of(item, why, facts or {})
    return [reason.text for reason in found]


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


def test_what_counts_most_is_told_first_and_what_counts_little_is_not(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "ann")
    often = "You bought it 3 times"
    # Milk on the 1st, 11th and 21st of February at nine: 28.6, 18.6 and 8.6 days ago.
    due = "You buy it about every 10 days: due again"
    assert told(asked, catalogue, MILK, frequency=2.0, due=1.0) == [often, due]
    assert told(asked, catalogue, MILK, frequency=1.0, due=2.0) == [due, often]
    assert told(asked, catalogue, MILK, frequency=1.0, due=0.1) == [often]
    assert told(asked, catalogue, MILK, frequency=-1.0, due=0.1) == [due]


def test_groups_that_one_sentence_tells_count_together(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    found = told(request(bundle, "ann"), catalogue, MILK, frequency=2.5, timing=1.0, history=2.0)
    assert found == ["You bought it 8 days ago", "You bought it 3 times"]


def test_what_is_not_due_yet_is_not_told_to_be(bundle: FakeBundle, catalogue: Catalogue) -> None:
    bundle.histories = build_histories(
        purchases([*ANN, ("ann", "milk", "2024-02-28T09:00:00Z", "a28")]), Vocabulary(ITEMS)
    )
    asked = request(bundle, "ann")
    assert told(asked, catalogue, MILK, due=2.0, timing=1.0) == ["You bought it 1 day ago"]


def test_at_most_three_reasons_are_told(bundle: FakeBundle, catalogue: Catalogue) -> None:
    asked = request(bundle, "ann", viewed=ints(MILK))
    why = {"frequency": 4.0, "timing": 3.0, "viewed": 2.0, "popularity": 1.0}
    assert len(told(asked, catalogue, MILK, **why)) == 3


def test_the_bread_in_the_cart_is_told_when_the_cart_counts(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "ann", cart=ints(BREAD, JAM))
    assert told(asked, catalogue, MILK, cart=1.0) == [
        "You bought it 2 times with Bread, in your cart"
    ]
    assert told(asked, catalogue, MILK, frequency=1.0) == ["You bought it 3 times"]


def test_once_together_is_no_reason(bundle: FakeBundle, catalogue: Catalogue) -> None:
    asked = request(bundle, "ann", cart=ints(MILK))
    assert told(asked, catalogue, JAM, cart=1.0) == ["You bought it once, 8 days ago"]
    assert told(asked, catalogue, TEA, cart=1.0) == ["Goes with what is in your cart"]


def test_a_cart_that_is_empty_is_no_reason(bundle: FakeBundle, catalogue: Catalogue) -> None:
    assert told(request(bundle, "ann"), catalogue, TEA, cart=1.0) == ["New to you"]


def test_a_look_and_a_look_at_the_same_kind_are_reasons(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "ann", viewed=ints(TEA))
    assert told(asked, catalogue, TEA, viewed=1.0) == ["You just looked at it"]
    assert told(asked, catalogue, COFFEE, viewed=1.0) == [
        "Of the same kind as Black tea, just looked at"
    ]
    assert told(asked, catalogue, JAM, viewed=1.0) == ["Goes with what you just looked at"]


def test_an_offer_is_told_only_when_it_runs(bundle: FakeBundle, catalogue: Catalogue) -> None:
    asked = request(bundle, "ann")
    runs = {"mailer now": 0.9, "display now": 0.2}
    assert told(asked, catalogue, TEA, runs, offers=1.0) == ["In this week's mailer"]
    assert told(asked, catalogue, TEA, {"display now": 0.2}, offers=1.0) == [
        "On display this week in some stores"
    ]
    assert told(asked, catalogue, TEA, {"mailer next": 1.0}, offers=1.0) == [
        "In next week's mailer"
    ]
    assert told(asked, catalogue, TEA, {"mailer now": 0.0}, offers=1.0) == ["New to you"]
    assert told(asked, catalogue, TEA, runs, popularity=1.0) == ["New to you"]


def test_nobody_knows_more_of_a_stranger_than_that_it_is_new(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "nobody", cart=ints(MILK))
    for item in (BREAD, COFFEE, JAM, TEA):
        why = {"taste": 1.0, "category": 1.0, "profile": 1.0, "frequency": 1.0, "timing": 1.0}
        assert told(asked, catalogue, item, **why) == ["New to you"]


def test_what_is_popular_says_how_many_bought_it_and_until_when() -> None:
    bundle = FakeBundle()
    bundle.histories = build_histories(purchases([*ANN, *CAT]), Vocabulary(ITEMS))
    catalogue = build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)
    sentence = "2 shoppers bought it in the four weeks before 2024-03-01"
    assert told(request(bundle, "nobody"), catalogue, JAM, popularity=1.0) == [sentence]


def test_a_category_is_told_as_a_habit_or_as_the_usual_choice(bundle: FakeBundle) -> None:
    items = bundle.items.assign(category="HOT AND COLD FOOD")
    catalogue = build_catalogue(items, bundle.histories, as_of=AS_OF)
    asked = request(bundle, "ann")  # three times milk, twice bread, once jam
    often = "You often buy hot and cold food: 6 times in the last 120 days"
    assert told(asked, catalogue, COFFEE, affinity=1.0) == [often]
    assert told(asked, catalogue, JAM, substitutes=1.0) == [often]
    items = items.assign(category=["BAKERY", "FOOD", "FOOD", "FOOD", "FOOD"])
    catalogue = build_catalogue(items, bundle.histories, as_of=AS_OF)
    assert told(asked, catalogue, MILK, substitutes=1.0) == ["Your usual choice of food"]
    assert told(asked, catalogue, BREAD, substitutes=1.0) == [
        "You bought it 2 times, last 18 days ago"
    ]


def test_a_trip_is_told_by_what_the_purchases_have_in_common_with_it(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "ann")
    bought_at = np.full(len(asked.item), 9, dtype=np.int32)  # Mondays at nine

    def trip(group: str, **changes: object) -> list[str]:
        return told(replace(asked, **changes), catalogue, MILK, **{group: 1.0})  # type: ignore[arg-type]

    here = {"store": np.full(len(asked.item), 7, dtype=np.int32), "at_store": ints(7)}
    assert trip("store", **here) == ["You mostly buy it in this store"]
    assert trip("weekday", hour_of_week=bought_at + 24 * FRIDAY) == ["You mostly buy it on Fridays"]
    assert trip("hour", hour_of_week=bought_at, local_hour=ints(11)) == [
        "You mostly buy it at this time of day"
    ]
    assert trip("hour", hour_of_week=bought_at - 9 + 23, local_hour=ints(1)) == [
        "You mostly buy it at this time of day"
    ]
    assert trip("hour", hour_of_week=bought_at, local_hour=ints(12)) == [
        "You bought it 3 times, last 8 days ago, about every 10 days"
    ]


def test_that_shoppers_come_back_is_told_when_many_bought_it_and_many_did() -> None:
    buyers = [
        (f"u{n}", "jam", f"2024-02-{day:02d}T09:00:00Z", f"{n}-{day}")
        for n in range(20)
        for day in ((3, 10) if n < 11 else (3,))
    ]
    bundle = FakeBundle()
    bundle.histories = build_histories(purchases([*ANN[:-1], *buyers]), Vocabulary(ITEMS))
    catalogue = build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)
    asked = request(bundle, "ann")
    sentence = "55% of the shoppers who try it buy it again"  # 11 of 20
    assert told(asked, catalogue, JAM, again=1.0) == [sentence]
    assert told(asked, catalogue, MILK, again=1.0)[0].startswith("You bought it 3 times")


def test_how_many_are_taken_is_told_when_it_is_more_than_one(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "ann")
    double = replace(asked, quantity=np.full(len(asked.item), 2.0, dtype=np.float32))
    assert told(double, catalogue, MILK, quantity=1.0) == ["You usually take 2 of it"]
    assert told(asked, catalogue, BREAD, quantity=1.0) == [
        "You bought it 2 times, last 18 days ago"
    ]


def test_a_profile_is_told_only_of_shoppers_who_gave_one(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    asked = request(bundle, "ann")
    known = replace(asked, user_attributes=np.array([[3]], dtype=np.int32))
    assert told(known, catalogue, TEA, profile=1.0) == ["Households like yours buy it"]
    assert told(asked, catalogue, TEA, profile=1.0) == ["New to you"]
