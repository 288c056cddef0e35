from dataclasses import replace

import numpy as np
import pytest

from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.vocabulary import Ints, Vocabulary
from pipeline.serving.explanations.catalogue import Catalogue, build_catalogue
from pipeline.serving.explanations.reasons import ReasonBuilder, describe_purchases
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
    no_items = ints()
    return build_requests(
        bundle.histories,
        [user],
        [AS_OF],
        carts=[no_items if cart is None else cart],
        viewed=[no_items if viewed is None else viewed],
    )


def reason_texts(
    requests: Requests,
    catalogue: Catalogue,
    item: int,
    /,
    facts: dict[str, float] | None = None,
    **why: float,
) -> list[str]:
    reasons = ReasonBuilder(requests, catalogue).build(item, why, facts or {})
    return [reason.text for reason in reasons]


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
def test_purchases_are_described_in_days(ages: list[float], sentence: str) -> None:
    assert describe_purchases(np.array(ages, dtype=np.float32)) == sentence


def test_titles_fall_back_to_the_type(catalogue: Catalogue) -> None:
    assert catalogue.titles == ("", "Bread", "Coffee", "Jam", "Milk", "Black tea")


def test_users_of_the_last_four_weeks_are_counted_once(catalogue: Catalogue) -> None:
    # Of the 29 days of February the first is more than 28 days before March.
    assert catalogue.n_users.tolist() == [0, 1, 0, 1, 1, 1]


def test_the_largest_contribution_comes_first_and_small_ones_are_left_out(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    requests = request(bundle, "ann")
    often = "You bought it 3 times"
    # Milk on the 1st, 11th and 21st of February at nine: 28.6, 18.6 and 8.6 days ago.
    due = "You buy it about every 10 days: due again"
    assert reason_texts(requests, catalogue, MILK, frequency=2.0, due=1.0) == [often, due]
    assert reason_texts(requests, catalogue, MILK, frequency=1.0, due=2.0) == [due, often]
    assert reason_texts(requests, catalogue, MILK, frequency=1.0, due=0.1) == [often]
    assert reason_texts(requests, catalogue, MILK, frequency=-1.0, due=0.1) == [due]


def test_groups_of_one_topic_are_added_up(bundle: FakeBundle, catalogue: Catalogue) -> None:
    texts = reason_texts(
        request(bundle, "ann"), catalogue, MILK, frequency=2.5, timing=1.0, history=2.0
    )
    assert texts == ["You bought it 8 days ago", "You bought it 3 times"]


def test_an_item_that_is_not_due_has_no_due_reason(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    bundle.histories = build_histories(
        purchases([*ANN, ("ann", "milk", "2024-02-28T09:00:00Z", "a28")]), Vocabulary(ITEMS)
    )
    requests = request(bundle, "ann")
    assert reason_texts(requests, catalogue, MILK, due=2.0, timing=1.0) == [
        "You bought it 1 day ago"
    ]


def test_an_item_has_at_most_three_reasons(bundle: FakeBundle, catalogue: Catalogue) -> None:
    requests = request(bundle, "ann", viewed=ints(MILK))
    why = {"frequency": 4.0, "timing": 3.0, "viewed": 2.0, "popularity": 1.0}
    assert len(reason_texts(requests, catalogue, MILK, **why)) == 3


def test_the_cart_item_is_named_when_the_cart_contributes(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    requests = request(bundle, "ann", cart=ints(BREAD, JAM))
    assert reason_texts(requests, catalogue, MILK, cart=1.0) == [
        "You bought it 2 times with Bread, in your cart"
    ]
    assert reason_texts(requests, catalogue, MILK, frequency=1.0) == ["You bought it 3 times"]


def test_one_common_basket_is_no_reason(bundle: FakeBundle, catalogue: Catalogue) -> None:
    requests = request(bundle, "ann", cart=ints(MILK))
    assert reason_texts(requests, catalogue, JAM, cart=1.0) == ["You bought it once, 8 days ago"]
    assert reason_texts(requests, catalogue, TEA, cart=1.0) == ["Goes with what is in your cart"]


def test_an_empty_cart_is_no_reason(bundle: FakeBundle, catalogue: Catalogue) -> None:
    assert reason_texts(request(bundle, "ann"), catalogue, TEA, cart=1.0) == ["New to you"]


def test_views_of_the_item_and_of_its_category_are_reasons(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    requests = request(bundle, "ann", viewed=ints(TEA))
    assert reason_texts(requests, catalogue, TEA, viewed=1.0) == ["You just looked at it"]
    assert reason_texts(requests, catalogue, COFFEE, viewed=1.0) == [
        "Of the same kind as Black tea, just looked at"
    ]
    assert reason_texts(requests, catalogue, JAM, viewed=1.0) == [
        "Goes with what you just looked at"
    ]


def test_only_current_offers_are_reasons(bundle: FakeBundle, catalogue: Catalogue) -> None:
    requests = request(bundle, "ann")
    runs = {"mailer now": 0.9, "display now": 0.2}
    assert reason_texts(requests, catalogue, TEA, runs, offers=1.0) == ["In this week's mailer"]
    assert reason_texts(requests, catalogue, TEA, {"display now": 0.2}, offers=1.0) == [
        "On display this week in some stores"
    ]
    assert reason_texts(requests, catalogue, TEA, {"mailer next": 1.0}, offers=1.0) == [
        "In next week's mailer"
    ]
    assert reason_texts(requests, catalogue, TEA, {"mailer now": 0.0}, offers=1.0) == ["New to you"]
    assert reason_texts(requests, catalogue, TEA, runs, popularity=1.0) == ["New to you"]


def test_an_item_is_new_to_an_unknown_user(bundle: FakeBundle, catalogue: Catalogue) -> None:
    requests = request(bundle, "nobody", cart=ints(MILK))
    for item in (BREAD, COFFEE, JAM, TEA):
        why = {"taste": 1.0, "category": 1.0, "profile": 1.0, "frequency": 1.0, "timing": 1.0}
        assert reason_texts(requests, catalogue, item, **why) == ["New to you"]


def test_a_popular_item_names_the_number_of_buyers_and_the_period() -> None:
    bundle = FakeBundle()
    bundle.histories = build_histories(purchases([*ANN, *CAT]), Vocabulary(ITEMS))
    catalogue = build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)
    sentence = "2 shoppers bought it in the four weeks before 2024-03-01"
    assert reason_texts(request(bundle, "nobody"), catalogue, JAM, popularity=1.0) == [sentence]


def test_a_category_is_a_habit_or_the_usual_choice(bundle: FakeBundle) -> None:
    items = bundle.items.assign(category="HOT AND COLD FOOD")
    catalogue = build_catalogue(items, bundle.histories, as_of=AS_OF)
    requests = request(bundle, "ann")  # three times milk, twice bread, once jam
    often = "You often buy hot and cold food: 6 times in the last 120 days"
    assert reason_texts(requests, catalogue, COFFEE, affinity=1.0) == [often]
    assert reason_texts(requests, catalogue, JAM, substitutes=1.0) == [often]
    items = items.assign(category=["BAKERY", "FOOD", "FOOD", "FOOD", "FOOD"])
    catalogue = build_catalogue(items, bundle.histories, as_of=AS_OF)
    assert reason_texts(requests, catalogue, MILK, substitutes=1.0) == ["Your usual choice of food"]
    assert reason_texts(requests, catalogue, BREAD, substitutes=1.0) == [
        "You bought it 2 times, last 18 days ago"
    ]


def test_store_weekday_and_hour_are_reasons_if_most_purchases_match(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    requests = request(bundle, "ann")
    bought_at = np.full(len(requests.item), 9, dtype=np.int32)  # Mondays at nine

    def trip(group: str, **changes: object) -> list[str]:
        return reason_texts(replace(requests, **changes), catalogue, MILK, **{group: 1.0})  # type: ignore[arg-type]

    here = {"store": np.full(len(requests.item), 7, dtype=np.int32), "at_store": ints(7)}
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


def test_repeat_buyers_are_a_reason_if_there_are_enough() -> None:
    buyers = [
        (f"u{n}", "jam", f"2024-02-{day:02d}T09:00:00Z", f"{n}-{day}")
        for n in range(20)
        for day in ((3, 10) if n < 11 else (3,))
    ]
    bundle = FakeBundle()
    bundle.histories = build_histories(purchases([*ANN[:-1], *buyers]), Vocabulary(ITEMS))
    catalogue = build_catalogue(bundle.items, bundle.histories, as_of=AS_OF)
    requests = request(bundle, "ann")
    sentence = "55% of the shoppers who try it buy it again"  # 11 of 20
    assert reason_texts(requests, catalogue, JAM, again=1.0) == [sentence]
    assert reason_texts(requests, catalogue, MILK, again=1.0)[0].startswith("You bought it 3 times")


def test_a_usual_quantity_above_one_is_a_reason(bundle: FakeBundle, catalogue: Catalogue) -> None:
    requests = request(bundle, "ann")
    double = replace(requests, quantity=np.full(len(requests.item), 2.0, dtype=np.float32))
    assert reason_texts(double, catalogue, MILK, quantity=1.0) == ["You usually take 2 of it"]
    assert reason_texts(requests, catalogue, BREAD, quantity=1.0) == [
        "You bought it 2 times, last 18 days ago"
    ]


def test_only_users_with_a_profile_get_a_profile_reason(
    bundle: FakeBundle, catalogue: Catalogue
) -> None:
    requests = request(bundle, "ann")
    known = replace(requests, user_attributes=np.array([[3]], dtype=np.int32))
    assert reason_texts(known, catalogue, TEA, profile=1.0) == ["Households like yours buy it"]
    assert reason_texts(requests, catalogue, TEA, profile=1.0) == ["New to you"]
