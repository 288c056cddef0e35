"""Through HTTP: availability, exclusions, diversity, distinct titles and exploration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.serving.client import Client
from pipeline.serving.reranking.availability import ItemAvailability
from tests.support.fake_bundle import FakeBundle
from tests.support.served import Http, act, assert_problem, ids, predictions, recommend, send


def set_availability(http: Http, **available: bool) -> httpx.Response:
    changes = [{"item_id": name, "available": value} for name, value in available.items()]
    return http.post("/availability", json=changes)


def test_an_unavailable_item_is_not_recommended_until_it_is_back(http: Http) -> None:
    answer = set_availability(http, milk=False, tea=False, caviar=False)
    assert answer.json() == {"accepted": 3, "unknown": 1}
    assert ids(recommend(http, k=5)) == ["bread", "jam", "coffee"]
    assert ids(recommend(http, "stranger", k=5)) == ["bread", "coffee", "jam"]
    set_availability(http, milk=True)
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "coffee"]


def test_one_change_needs_no_list_and_the_last_change_counts(http: Http) -> None:
    assert (
        http.post("/availability", json={"item_id": "tea", "available": False}).status_code == 200
    )
    assert "tea" not in ids(recommend(http, k=5))
    changes = [{"item_id": "tea", "available": value} for value in (False, True)]
    assert http.post("/availability", json=changes).json()["accepted"] == 2
    assert "tea" in ids(recommend(http, k=5))


def test_availability_survives_a_restart(start: Callable[..., Http]) -> None:
    set_availability(start(), milk=False)
    assert "milk" not in ids(recommend(start(), k=5))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"item_id": "tea"}', b'{"item_id": "tea", "available": 1}']
)
def test_a_bad_change_is_refused(http: Http, body: bytes) -> None:
    assert_problem(http.post("/availability", content=body), 422)
    assert len(ids(recommend(http, k=5))) == 5


def test_excluded_items_are_not_recommended(http: Http) -> None:
    assert ids(recommend(http, k=2, exclude=["milk", "caviar"])) == ["bread", "jam"]
    assert_problem(recommend(http, exclude=["x"] * 501), 422)
    assert_problem(recommend(http, exclude="milk"), 422)


def test_an_answer_has_k_items_however_many_are_excluded(
    bundle: FakeBundle, start: Callable[..., Http]
) -> None:
    """Three of ann's items and one more are left out: the model must rank longer lists."""
    http = start()
    set_availability(http, milk=False)
    n_before = len(bundle.recommender.requests)
    assert ids(recommend(http, k=1, exclude=["bread", "jam", "coffee"])) == ["tea"]
    assert len(bundle.recommender.requests) > n_before
    assert ids(recommend(http, k=5, exclude=["bread", "coffee", "jam", "tea"])) == []


def test_excluded_items_do_not_count_as_cart_items(
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


def test_bought_items_are_left_out_for_bought_hours(
    start: Callable[..., Http],
) -> None:
    http = start(bought_hours=2)
    day = "2024-03-02T"
    assert ids(recommend(http, k=3, at=f"{day}08:00:00Z")) == ["milk", "bread", "jam"]
    send(http, act("purchase", "milk", timestamp=f"{day}09:00:00Z"))
    for time, expected in {
        "08:59:00Z": ["milk", "bread", "jam"],  # it was not bought yet
        "09:00:01Z": ["bread", "jam", "coffee"],
        "11:00:00Z": ["bread", "jam", "coffee"],
        "11:00:01Z": ["milk", "bread", "jam"],
    }.items():
        assert ids(recommend(http, k=3, at=day + time)) == expected, time
    again = recommend(http, k=3, at=f"{day}09:00:01Z", bought_hours=0)
    assert ids(again) == ["milk", "bread", "jam"]
    assert ids(recommend(http, "stranger", k=1, at=f"{day}09:00:01Z")) == ["bread"]
    assert_problem(recommend(http, bought_hours=-1), 422)
    assert_problem(recommend(http, bought_hours=169), 422)


def test_bought_hours_include_purchases_of_the_bundle(start: Callable[..., Http]) -> None:
    """ann's last basket, milk and jam, was paid at nine o'clock on 21 February."""
    query = {"k": 3, "at": "2024-02-21T10:00:00Z"}
    assert ids(recommend(start(bought_hours=2), **query)) == ["bread", "coffee", "tea"]
    assert ids(recommend(start(bought_hours=0), **query)) == ["milk", "bread", "jam"]


def test_a_new_user_gets_no_title_twice(bundle: FakeBundle, start: Callable[..., Http]) -> None:
    bundle.items["title"] = ["Milk, 1 GA", "Coffee", "milk, 1 ga ", "Milk, 1 GA", None]
    http = start()  # distinct_titles of the project's params.yaml
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


def test_sampled_slots_differ_and_carry_propensities(start: Callable[..., Http]) -> None:
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


def test_by_default_the_top_items_have_propensity_one(http: Http) -> None:
    answers = [recommend(http, "bob", k=3, explore_slots=2).json()["items"] for _ in range(5)]
    assert all(answer == answers[0] for answer in answers)
    assert {item["propensity"] for item in answers[0]} == {1.0}


def test_propensities_and_reasons_are_logged(start: Callable[..., Http], path: Path) -> None:
    answer = recommend(start(**SAMPLED), "bob", k=3, explore_slots=2).json()
    (logged,) = predictions(path, 1)
    assert logged.propensities == [item["propensity"] for item in answer["items"]]
    assert logged.reasons == [item["reasons"] for item in answer["items"]]
    assert min(logged.propensities) < 1


def test_the_client_sets_availability(client: Client, http: Http) -> None:
    answer = client.set_availability([ItemAvailability(item_id="milk", available=False)])
    assert (answer.accepted, answer.unknown) == (1, 0)
    assert "milk" not in ids(recommend(http, k=5))
