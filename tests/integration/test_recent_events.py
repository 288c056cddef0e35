"""Through HTTP: every answer reflects all events acknowledged before its request."""

from collections.abc import Callable

from tests.support.served import Http, act, ids, recommend, send

ALL = ["milk", "bread", "jam", "coffee", "tea"]


def test_a_view_changes_the_next_answer(http: Http) -> None:
    assert ids(recommend(http, k=5)) == ALL
    send(http, act("view", "tea"))
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "tea", "coffee"]


def test_each_click_changes_the_answer_after_it(http: Http) -> None:
    explored = []
    for viewed in ("tea", "coffee"):
        send(http, act("view", viewed, "bob"))
        answer = recommend(http, "bob", k=5, explain=True).json()["items"]
        explored.append({item["item_id"] for item in answer if "viewed" in item["contributions"]})
    assert explored == [{"tea"}, {"tea", "coffee"}]


def test_items_in_the_cart_are_not_recommended(http: Http) -> None:
    send(http, act("cart", "milk"))
    assert "milk" not in ids(recommend(http, k=5))
    send(http, act("cart", "tea"))
    assert ids(recommend(http, k=5)) == ["bread", "jam", "coffee"]


def test_items_removed_from_the_cart_are_recommended_again(http: Http) -> None:
    send(http, act("cart", "milk"))
    send(http, act("cart", "milk", quantity=0))
    assert ids(recommend(http, k=5)) == ALL


def test_a_purchase_empties_the_cart_and_counts_at_once(http: Http) -> None:
    send(http, act("cart", "tea"), act("cart", "bread"))
    assert ids(recommend(http, k=5)) == ["milk", "jam", "coffee"]
    send(http, act("purchase", "tea", basket_id="b"), act("purchase", "bread", basket_id="b"))
    items = recommend(http, k=5).json()["items"]
    assert [item["item_id"] for item in items] == ["bread", "milk", "jam", "tea", "coffee"]
    assert {item["item_id"]: item["score"] for item in items}["bread"] == 3.0
    assert {item["item_id"]: item["slot"] for item in items}["tea"] == "repeat"


def test_a_return_is_stored_and_changes_neither_history_nor_cart(http: Http) -> None:
    """As in training: a returned purchase still counts as a purchase."""
    send(http, act("purchase", "tea"), act("cart", "jam"))
    before = ids(recommend(http, k=5))
    assert send(http, act("return", "tea")).json() == {"accepted": 1, "duplicates": 0}
    assert ids(recommend(http, k=5)) == before


def test_events_of_one_user_do_not_change_the_answer_of_another(http: Http) -> None:
    before = ids(recommend(http, "bob", k=5))
    send(http, act("view", "tea"), act("cart", "milk"), act("purchase", "coffee"))
    assert ids(recommend(http, "bob", k=5)) == before


def test_a_new_user_has_a_history_after_the_first_purchase(http: Http) -> None:
    assert {item["slot"] for item in recommend(http, "eve", k=5).json()["items"]} == {"popular"}
    send(http, act("purchase", "tea", "eve"))
    first = recommend(http, "eve", k=5).json()["items"][0]
    assert (first["item_id"], first["slot"]) == ("tea", "repeat")


def test_events_survive_a_restart(start: Callable[..., Http]) -> None:
    first = start()
    send(first, act("cart", "milk"), act("view", "tea"), act("purchase", "coffee"))
    again = start()
    assert ids(recommend(again, k=5)) == ids(recommend(first, k=5))
    assert "milk" not in ids(recommend(again, k=5))
