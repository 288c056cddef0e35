"""The examples of the weekly shop, worked out by hand."""

import pandas as pd
import pytest

from pipeline.contracts.errors import DataQualityError
from tests.support.weekly_shop import event, events, example, labelled, moment


def test_each_basket_in_a_window_is_one_example_and_the_first_one_another() -> None:
    rows = labelled(events()).rows
    counts = rows.groupby(["split", "protocol"]).size().to_dict()
    assert counts == {
        ("train", "rolling"): 4,  # two shoppers, two windows of one basket each
        ("train", "first_basket"): 4,
        ("validation", "rolling"): 2,
        ("validation", "first_basket"): 2,
        ("test", "rolling"): 2,
        ("test", "first_basket"): 2,
        ("production", "rolling"): 2,
        ("production", "first_basket"): 2,
    }


def test_a_rolling_example_is_asked_when_its_basket_begins() -> None:
    result = example(labelled(events()), "rolling:ann:ann-01-30")
    assert result["timestamp"] == moment("2024-01-30T10:00")
    assert result["cutoff"] == moment("2024-01-29")
    assert result["n_earlier_baskets"] == 4
    assert (result["labels"], result["relevance"]) == (["bread", "salt"], [1.0, 1.0])
    assert result["cart"] == []


def test_a_first_basket_example_is_asked_when_the_window_opens() -> None:
    more = event("ann", "tea", "2024-01-30T18:00", "ann-evening")
    result = labelled(events(more))
    first = example(result, "first_basket:ann:ann-01-30")
    assert first["timestamp"] == first["cutoff"] == moment("2024-01-29")
    assert first["n_earlier_baskets"] == 4
    assert first["labels"] == ["bread", "salt"]
    assert "first_basket:ann:ann-evening" not in set(result.rows["example_id"])
    assert example(result, "rolling:ann:ann-evening")["n_earlier_baskets"] == 5


def test_a_first_basket_lies_within_the_horizon() -> None:
    last = event("eve", "tea", "2024-02-11T10:00", "eve-1")
    known = events(last)
    known = known[known["timestamp"] < moment("2024-02-12")]
    result = labelled(known, horizon_days=1)  # windows open on Monday, baskets are on Tuesday
    assert set(result.rows["protocol"]) == {"rolling"}


def test_shoppers_with_too_little_history_are_left_out() -> None:
    more = event("eve", "tea", "2024-01-30T10:00", "eve-1")
    late = event("eve", "tea", "2024-01-31T10:00", "eve-2")
    ids = set(labelled(events(more, late)).rows["example_id"])
    assert {name for name in ids if "eve" in name} == {"rolling:eve:eve-2"}


def test_training_draws_a_few_baskets_per_shopper_and_window() -> None:
    more = [event("ann", "tea", f"2024-01-{day}T10:00", f"x{day}") for day in (17, 18, 19)]
    rows = labelled(events(*more), train_examples_per_user_window=2).rows
    drawn = rows[(rows["split"] == "train") & (rows["protocol"] == "rolling")]
    counts = drawn.groupby(["user_id", "window"]).size().to_dict()
    assert counts == {("ann", 0): 2, ("ann", 1): 1, ("bob", 0): 1, ("bob", 1): 1}


def test_of_an_account_above_the_maximum_as_few_baskets_are_asked_as_in_training() -> None:
    more = [event("ann", "tea", f"2024-02-0{day}T10:00", f"x{day}") for day in (7, 8, 9)]
    limits = {"train_examples_per_user_window": 2, "maximum_user_baskets": 3}
    rows = labelled(events(*more), **limits).rows
    tested = rows[(rows["split"] == "test") & (rows["protocol"] == "rolling")]
    assert tested.groupby("user_id").size().to_dict() == {"ann": 2, "bob": 1}  # of four, and one
    whole = labelled(events(*more), **limits | {"maximum_user_baskets": 4}).rows
    tested = whole[(whole["split"] == "test") & (whole["protocol"] == "rolling")]
    assert tested.groupby("user_id").size().to_dict() == {"ann": 4, "bob": 1}


def test_the_draw_does_not_depend_on_the_order_of_the_events() -> None:
    shuffled = events().sample(frac=1.0, random_state=3)
    assert labelled(shuffled).table().equals(labelled(events()).table())


def test_a_basket_that_was_returned_as_a_whole_is_no_example_but_still_history() -> None:
    returns = [
        event("ann", item, "2024-01-31T10:00", None, event_type="return")
        for item in ("bread", "salt")
    ]
    result = labelled(events(*returns))
    assert not [name for name in result.rows["example_id"] if "ann-01-30" in name]
    assert example(result, "rolling:ann:ann-02-06")["n_earlier_baskets"] == 5


def test_every_training_basket_with_a_cart_keeps_a_label() -> None:
    rows = labelled(events(), cart_fraction=1.0).table().to_pylist()
    for row in rows:
        if row["split"] != "train" or row["protocol"] != "rolling":
            assert row["cart"] == []
            continue
        other = {"ann-01-16": "rice", "ann-01-23": "tea", "bob-01-16": "rice", "bob-01-23": "tea"}
        assert len(row["cart"]) == len(row["labels"]) == len(row["relevance"]) == 1
        assert set(row["cart"]) | set(row["labels"]) == {"bread", other[row["basket_id"]]}


def test_negatives_are_what_was_on_offer_and_not_in_the_basket() -> None:
    result = labelled(events(), n_negatives=10)
    first = example(result, "rolling:ann:ann-01-16")
    assert first["negatives"] == ["cocoa", "eggs", "milk"]  # sold before 15 January, or promoted
    last = example(result, "rolling:ann:ann-02-13")
    # in the 30 days before 12 February, without bread (bought) and melon (promoted later)
    assert last["negatives"] == ["oil", "rice", "salt", "tea"]


def test_no_more_negatives_than_asked_for_are_drawn_and_none_twice() -> None:
    for row in labelled(events(), n_negatives=2).table().to_pylist():
        assert len(set(row["negatives"])) == 2


@pytest.mark.parametrize("item", ["salt", ""])
def test_what_a_reviewer_drops_is_no_label_in_any_example(item: str) -> None:
    decision = {
        "example_id": ["rolling:ann:ann-01-30"],
        "basket_id": ["ann-01-30"],
        "item_id": [item],
        "reason": ["wrong"],
        "decision": ["drop"],
    }
    result = labelled(events(), pd.DataFrame(decision, dtype="str"))
    ids = set(result.rows["example_id"])
    both = {"rolling:ann:ann-01-30", "first_basket:ann:ann-01-30"}
    if item:
        assert [example(result, name)["labels"] for name in sorted(both)] == [["bread"]] * 2
    else:
        assert not both & ids


def test_a_split_without_examples_is_an_error_that_names_it() -> None:
    with pytest.raises(DataQualityError, match="Expected examples of the train split"):
        labelled(events(), minimum_earlier_baskets=5)


def test_an_empty_window_is_an_error_that_names_it() -> None:
    kept = events()
    kept = kept[~kept["basket_id"].str.endswith("01-30")]
    with pytest.raises(DataQualityError, match="in the validation window 2024-01-29 to 2024-02-05"):
        labelled(kept)
