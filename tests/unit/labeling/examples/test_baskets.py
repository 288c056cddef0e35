"""What is one basket, what was wanted in it, and what came before."""

import pandas as pd

from pipeline.labeling.examples.baskets import (
    build_basket_lines,
    build_baskets,
    compute_relevance,
    count_earlier,
)
from tests.support.weekly_shop import event, frame, labeling, moment


def lines(events: pd.DataFrame, **changes: object) -> pd.DataFrame:
    return build_basket_lines(events, labeling(**changes))


def test_the_same_item_twice_in_a_basket_is_one_line() -> None:
    result = lines(
        frame(
            event("ann", "milk", "2024-01-01T10:00", "b1", quantity=2.0, price=3.0),
            event("ann", "milk", "2024-01-01T10:00", "b1", quantity=1.0, price=4.0),
        )
    )
    assert result[["quantity", "value", "n_purchases", "weight"]].to_numpy().tolist() == [
        [3.0, 10.0, 2.0, 1.0]
    ]


def test_earlier_baskets_are_those_that_began_strictly_before() -> None:
    baskets = build_baskets(
        lines(
            frame(
                event("ann", "milk", "2024-01-01T10:00", "b1"),
                event("ann", "milk", "2024-01-02T10:00", "b2"),
                event("ann", "milk", "2024-01-02T10:00", "b3"),
                event("ann", "milk", "2024-01-03T10:00", "b4"),
                event("bob", "milk", "2024-01-02T10:00", "b5"),
            )
        )
    )
    assert dict(zip(baskets["basket_id"], baskets["n_earlier_baskets"], strict=True)) == {
        "b1": 0,
        "b2": 1,
        "b3": 1,
        "b4": 3,
        "b5": 0,
    }


def test_a_basket_that_was_only_looked_at_is_no_history() -> None:
    baskets = build_baskets(
        lines(
            frame(
                event("ann", "milk", "2024-01-01T10:00", "b1", event_type="view"),
                event("ann", "milk", "2024-01-02T10:00", "b2"),
            ),
            event_weights={"view": 0.1, "purchase": 1.0},
        )
    )
    assert baskets["n_earlier_baskets"].tolist() == [0, 0]


def test_unknown_shoppers_have_no_earlier_baskets() -> None:
    baskets = build_baskets(lines(frame(event("ann", "milk", "2024-01-01T10:00", "b1"))))
    asked = pd.Series(["ann", "eve"], dtype="str")
    later = pd.Series([moment("2024-02-01")] * 2)
    assert count_earlier(baskets, asked, later).tolist() == [1, 0]


def returned(days: int, *, closes: str) -> list[float]:
    at = pd.Timestamp("2024-01-01T10:00") + pd.Timedelta(days=days)
    result = lines(
        frame(
            event("ann", "milk", "2024-01-01T10:00", "b1"),
            event("ann", "tea", "2024-01-01T10:00", "b1"),
            event("ann", "milk", at.isoformat(), None, event_type="return"),
        )
    )
    weights = compute_relevance(result, pd.Series([moment(closes)] * 2), labeling())
    return list(weights)


def test_a_return_cancels_its_item_and_no_other() -> None:
    assert returned(2, closes="2024-01-08") == [0.0, 1.0]


def test_a_return_after_the_window_is_not_known_yet() -> None:
    assert returned(2, closes="2024-01-03") == [1.0, 1.0]


def test_a_return_beyond_the_horizon_does_not_cancel() -> None:
    assert returned(8, closes="2024-01-20") == [1.0, 1.0]  # the horizon is 7 days


def test_a_return_cancels_the_latest_purchase_only() -> None:
    result = lines(
        frame(
            event("ann", "milk", "2024-01-01T10:00", "b1"),
            event("ann", "milk", "2024-01-03T10:00", "b2"),
            event("ann", "milk", "2024-01-04T10:00", None, event_type="return"),
        )
    )
    assert result["returned_at"].notna().tolist() == [False, True]


def test_what_is_bought_after_the_window_closes_is_no_label() -> None:
    result = lines(frame(event("ann", "milk", "2024-01-09T10:00", "b1")))
    closes = pd.Series([moment("2024-01-09T10:00")])
    assert compute_relevance(result, closes, labeling()).tolist() == [0.0]
