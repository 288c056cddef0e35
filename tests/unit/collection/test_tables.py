"""Items and users that occur only in events get a row."""

import pandas as pd

from pipeline.collection.tables import complete_items, complete_users, select_redescribed

DAY = pd.Timestamp("2017-03-01", tz="UTC")


def test_items_that_are_not_listed_join_with_unknown_classes() -> None:
    items = pd.DataFrame(
        {
            "item_id": ["b", "fuel", "a"],
            "department": ["GROCERY", "FUEL", None],
            "brand": ["National", "National", "Private"],
        }
    )
    first_seen = pd.Series({"b": DAY, "new": DAY})
    completed = complete_items(items, first_seen, ("FUEL",))
    assert completed["item_id"].tolist() == ["a", "b", "new"]
    assert completed["department"].isna().tolist() == [True, False, True]
    assert completed["first_seen"].isna().tolist() == [True, False, False]


def test_users_without_attributes_join_and_described_users_without_events_stay() -> None:
    users = pd.DataFrame({"user_id": ["described", "both"], "age": ["25-34", "65+"]})
    completed = complete_users(users, pd.Index(["new", "both"]))
    assert completed["user_id"].tolist() == ["both", "described", "new"]
    assert completed["age"].fillna("?").tolist() == ["65+", "25-34", "?"]


def test_only_another_description_of_the_same_id_is_described_again() -> None:
    rows = [("a", "X"), ("a", "X"), ("b", "X"), ("b", "Y"), (None, "X"), (None, "Y"), ("c", "FUEL")]
    frame = pd.DataFrame([*rows, ("c", "OIL")], columns=["item_id", "department"])
    again = select_redescribed(frame, "item_id", ("FUEL",))
    assert again.to_numpy().tolist() == [["b", "Y"]]
