"""Through HTTP: what never appears, how alike items may be, and what chance has to do with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.serving.client import Client
from pipeline.serving.reranking.availability import ItemAvailability
from tests.support.fake_bundle import FakeBundle
from tests.support.served import Http, act, assert_problem, ids, predictions, recommend, send


def offer(http: Http, **available: bool) -> httpx.Response:
    changes = [{"item_id": name, "available": value} for name, value in available.items()]
    return http.post("/availability", json=changes)


def test_an_item_that_cannot_be_bought_is_not_shown_until_it_can(http: Http) -> None:
    answer = offer(http, milk=False, tea=False, caviar=False)
    assert answer.json() == {"accepted": 3, "unknown": 1}
    assert ids(recommend(http, k=5)) == ["bread", "jam", "coffee"]
    assert ids(recommend(http, "stranger", k=5)) == ["bread", "coffee", "jam"]
    offer(http, milk=True)
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "coffee"]


def test_one_change_needs_no_list_and_the_last_one_counts(http: Http) -> None:
    assert (
        http.post("/availability", json={"item_id": "tea", "available": False}).status_code == 200
    )
    assert "tea" not in ids(recommend(http, k=5))
    changes = [{"item_id": "tea", "available": value} for value in (False, True)]
    assert http.post("/availability", json=changes).json()["accepted"] == 2
    assert "tea" in ids(recommend(http, k=5))


def test_availability_outlives_a_restart(start: Callable[..., Http]) -> None:
    offer(start(), milk=False)
    assert "milk" not in ids(recommend(start(), k=5))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"item_id": "tea"}', b'{"item_id": "tea", "available": 1}']
)
def test_a_bad_change_is_refused(http: Http, body: bytes) -> None:
    assert_problem(http.post("/availability", content=body), 422)
    assert len(ids(recommend(http, k=5))) == 5


def test_what_the_request_leaves_out_is_not_shown(http: Http) -> None:
    assert ids(recommend(http, k=2, exclude=["milk", "caviar"])) == ["bread", "jam"]
    assert_problem(recommend(http, exclude=["x"] * 501), 422)
    assert_problem(recommend(http, exclude="milk"), 422)


def test_a_shelf_is_full_however_much_is_left_out(
    bundle: FakeBundle, start: Callable[..., Http]
) -> None:
    """Three of ann's items and one more are gone: the model must be asked for longer lists."""
    http = start()
    offer(http, milk=False)
    n_before = len(bundle.recommender.requests)
    assert ids(recommend(http, k=1, exclude=["bread", "jam", "coffee"])) == ["tea"]
    assert len(bundle.recommender.requests) > n_before
    assert ids(recommend(http, k=5, exclude=["bread", "coffee", "jam", "tea"])) == []


def test_what_is_left_out_does_not_count_as_in_the_cart(
    bundle: FakeBundle, start: Callable[..., Http]
) -> None:
    recommend(start(), exclude=["milk"], cart=["tea"])
    assert bundle.recommender.requests[-1].cart_item.tolist() == [5]


def test_diversity_limits_a_category_by_request_and_by_params(start: Callable[..., Http]) -> None:
    """Coffee and tea are both hot drinks."""
    http = start()
    send(http, act("view", "tea", "eve"), act("view", "coffee", "eve"))
    query: dict[str, Any] = {"k": 2, "explore_slots": 2}
    assert ids(recommend(http, "eve", **query)) == ["coffee", "tea"]
    assert ids(recommend(http, "eve", **query, diversity=0)) == ["coffee", "tea"]
    assert ids(recommend(http, "eve", **query, diversity=0.5)) == ["coffee", "bread"]
    assert ids(recommend(start(diversity=1), "eve", **query)) == ["coffee", "bread"]
    assert_problem(recommend(http, diversity=1.5), 422)
    assert_problem(recommend(http, diversity=True), 422)


def test_what_was_just_bought_is_not_offered_again_for_some_hours(
    start: Callable[..., Http],
) -> None:
    http = start(bought_hours=2)
    day = "2024-03-02T"
    assert ids(recommend(http, k=3, at=f"{day}08:00:00Z")) == ["milk", "bread", "jam"]
    send(http, act("purchase", "milk", timestamp=f"{day}09:00:00Z"))
    for at, shown in {
        "08:59:00Z": ["milk", "bread", "jam"],  # it was not bought yet
        "09:00:01Z": ["bread", "jam", "coffee"],
        "11:00:00Z": ["bread", "jam", "coffee"],
        "11:00:01Z": ["milk", "bread", "jam"],
    }.items():
        assert ids(recommend(http, k=3, at=day + at)) == shown, at
    again = recommend(http, k=3, at=f"{day}09:00:01Z", bought_hours=0)
    assert ids(again) == ["milk", "bread", "jam"]
    assert ids(recommend(http, "stranger", k=1, at=f"{day}09:00:01Z")) == ["bread"]
    assert_problem(recommend(http, bought_hours=-1), 422)
    assert_problem(recommend(http, bought_hours=169), 422)


def test_what_was_bought_just_before_as_of_counts_too(start: Callable[..., Http]) -> None:
    """ann's last basket, milk and jam, was paid at nine o'clock on 21 February."""
    asked = {"k": 3, "at": "2024-02-21T10:00:00Z"}
    assert ids(recommend(start(bought_hours=2), **asked)) == ["bread", "coffee", "tea"]
    assert ids(recommend(start(bought_hours=0), **asked)) == ["milk", "bread", "jam"]


def test_a_new_shopper_s_list_has_no_title_twice(
    bundle: FakeBundle, start: Callable[..., Http]
) -> None:
    bundle.items["title"] = ["Milk, 1 GA", "Coffee", "milk, 1 ga ", "Milk, 1 GA", None]
    http = start()  # as the project's params.yaml has it
    assert ids(recommend(http, "stranger", k=3)) == ["bread", "coffee", "tea"]
    assert ids(recommend(http, "stranger", k=5)) == ["bread", "coffee", "tea", "jam", "milk"]
    assert ids(recommend(http, "stranger", k=2, distinct_titles="off")) == ["bread", "coffee"]
    assert ids(recommend(http, "ann", k=3)) == ["milk", "bread", "jam"]
    explored = {"k": 3, "explore_slots": 1}
    assert ids(recommend(http, "bob", **explored)) == ["tea", "bread", "coffee"]
    send(http, act("view", "jam", "bob"), act("view", "milk", "bob"))
    explored = {"k": 3, "explore_slots": 2}
    assert ids(recommend(http, "bob", **explored)) == ["tea", "jam", "milk"]
    assert ids(recommend(http, "bob", **explored, distinct_titles="all")) == [
        "tea",
        "jam",
        "coffee",
    ]
    assert_problem(recommend(http, distinct_titles="some"), 422)


SAMPLED = {"explore_policy": "sampled", "explore_temperature": 1.0, "explore_candidates": 5}


def test_drawn_slots_differ_and_say_how_likely_they_were(start: Callable[..., Http]) -> None:
    http = start(**SAMPLED)
    answers = [recommend(http, "bob", k=3, explore_slots=2).json()["items"] for _ in range(40)]
    lists = {tuple(item["item_id"] for item in answer) for answer in answers}
    assert len(lists) > 3
    for answer in answers:
        first, second, third = answer
        assert (first["item_id"], first["propensity"]) == ("tea", 1.0)
        # all scores are 0: of four new items each is as likely as the others
        assert second["propensity"] == pytest.approx(1 / 4)
        assert third["propensity"] == pytest.approx(1 / 3)


def test_the_best_are_shown_with_certainty_by_default(http: Http) -> None:
    answers = [recommend(http, "bob", k=3, explore_slots=2).json()["items"] for _ in range(5)]
    assert all(answer == answers[0] for answer in answers)
    assert {item["propensity"] for item in answers[0]} == {1.0}


def test_propensities_are_logged_with_what_was_shown(
    start: Callable[..., Http], path: Path
) -> None:
    answer = recommend(start(**SAMPLED), "bob", k=3, explore_slots=2).json()
    (logged,) = predictions(path, 1)
    assert logged.propensities == [item["propensity"] for item in answer["items"]]
    assert logged.reasons == [item["reasons"] for item in answer["items"]]
    assert min(logged.propensities) < 1


def test_the_client_tells_what_can_be_bought(client: Client, http: Http) -> None:
    found = client.set_availability([ItemAvailability(item_id="milk", available=False)])
    assert (found.accepted, found.unknown) == (1, 0)
    assert "milk" not in ids(recommend(http, k=5))
