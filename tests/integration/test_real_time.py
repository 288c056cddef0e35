"""Through HTTP: an answer knows every event that was acknowledged before it was asked for."""

from collections.abc import Callable

from tests.support.served import Http, act, ids, recommend, send

ALL = ["milk", "bread", "jam", "coffee", "tea"]


def test_a_view_changes_the_next_answer(http: Http) -> None:
    assert ids(recommend(http, k=5)) == ALL
    send(http, act("view", "tea"))
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "tea", "coffee"]


def test_each_click_changes_the_answer_after_it(http: Http) -> None:
    explored = []
    for item in ("tea", "coffee"):
        send(http, act("view", item, "bob"))
        answer = recommend(http, "bob", k=5, explain=True).json()["items"]
        explored.append({each["item_id"] for each in answer if "viewed" in each["contributions"]})
    assert explored == [{"tea"}, {"tea", "coffee"}]


def test_what_is_put_into_the_cart_is_not_offered_again(http: Http) -> None:
    send(http, act("cart", "milk"))
    assert "milk" not in ids(recommend(http, k=5))
    send(http, act("cart", "tea"))
    assert ids(recommend(http, k=5)) == ["bread", "jam", "coffee"]


def test_what_is_taken_out_of_the_cart_is_offered_again(http: Http) -> None:
    send(http, act("cart", "milk"))
    send(http, act("cart", "milk", quantity=0))
    assert ids(recommend(http, k=5)) == ALL


def test_what_is_bought_leaves_the_cart_and_counts_at_once(http: Http) -> None:
    send(http, act("cart", "tea"), act("cart", "bread"))
    assert ids(recommend(http, k=5)) == ["milk", "jam", "coffee"]
    send(http, act("purchase", "tea", basket_id="b"), act("purchase", "bread", basket_id="b"))
    found = recommend(http, k=5).json()["items"]
    assert [each["item_id"] for each in found] == ["bread", "milk", "jam", "tea", "coffee"]
    assert {each["item_id"]: each["score"] for each in found}["bread"] == 3.0
    assert {each["item_id"]: each["slot"] for each in found}["tea"] == "repeat"


def test_a_return_is_stored_and_leaves_history_and_cart_as_they_are(http: Http) -> None:
    """As in training: a purchase that was taken back was still a purchase."""
    send(http, act("purchase", "tea"), act("cart", "jam"))
    before = ids(recommend(http, k=5))
    assert send(http, act("return", "tea")).json() == {"accepted": 1, "duplicates": 0}
    assert ids(recommend(http, k=5)) == before


def test_what_one_shopper_does_changes_nothing_for_another(http: Http) -> None:
    before = ids(recommend(http, "bob", k=5))
    send(http, act("view", "tea"), act("cart", "milk"), act("purchase", "coffee"))
    assert ids(recommend(http, "bob", k=5)) == before


def test_somebody_new_has_a_history_after_the_first_purchase(http: Http) -> None:
    assert {each["slot"] for each in recommend(http, "eve", k=5).json()["items"]} == {"popular"}
    send(http, act("purchase", "tea", "eve"))
    first = recommend(http, "eve", k=5).json()["items"][0]
    assert (first["item_id"], first["slot"]) == ("tea", "repeat")


def test_all_of_it_outlives_a_restart(start: Callable[..., Http]) -> None:
    first = start()
    send(first, act("cart", "milk"), act("view", "tea"), act("purchase", "coffee"))
    again = start()
    assert ids(recommend(again, k=5)) == ids(recommend(first, k=5))
    assert "milk" not in ids(recommend(again, k=5))
