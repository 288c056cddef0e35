"""Each kind of label issue is found in its own case and in no other."""

from typing import Any

import pandas as pd
import pytest

from pipeline.contracts.review_ids import review_id
from pipeline.labeling.audit.balance import compute_balance
from pipeline.labeling.audit.label_audit import IssueCounts, audit_labels
from pipeline.labeling.audit.label_issues import find_label_issues
from pipeline.labeling.audit.reviews import build_review_queue, build_review_tasks
from tests.support.weekly_shop import event, events, items, labeling, labelled

CALM: dict[str, Any] = {"automated_minimum_baskets": 50}  # the weekly shop is a rhythm by itself


def issues_of(purchases: pd.DataFrame, **changes: Any) -> list[tuple[str, str, str]]:
    source = labelled(purchases, **(CALM | changes)).source
    issues = find_label_issues(source, purchases, labeling(**(CALM | changes)), "UTC")
    baskets = source.baskets["basket_id"].to_numpy()[issues["basket"]]
    rows = zip(baskets, issues["item_id"], issues["reason"], strict=True)
    return sorted((str(basket), item, reason) for basket, item, reason in rows)


def test_an_ordinary_shop_raises_no_issue() -> None:
    assert issues_of(events()) == []


def test_a_basket_with_more_items_than_almost_all_is_bulk() -> None:
    large = [event("ann", f"thing-{n}", "2024-01-31T10:00", "large") for n in range(9)]
    assert issues_of(events(*large), bulk_quantile=0.9) == [("large", "", "bulk")]


def test_a_basket_with_more_units_than_almost_all_is_bulk() -> None:
    large = event("ann", "tea", "2024-01-31T10:00", "large", quantity=80.0)
    assert issues_of(events(large), bulk_quantile=0.9) == [("large", "", "bulk")]


@pytest.mark.parametrize(("minute", "is_duplicate"), [(10, True), (11, False)])
def test_the_same_basket_again_within_minutes_is_a_duplicate(
    minute: int, *, is_duplicate: bool
) -> None:
    again = [event("ann", item, f"2024-01-30T10:{minute}", "again") for item in ("bread", "salt")]
    expected = [("again", "", "duplicate")] if is_duplicate else []
    assert issues_of(events(*again)) == expected


@pytest.mark.parametrize(("user", "item"), [("eve", "salt"), ("ann", "tea")])
def test_other_items_or_another_shopper_are_no_duplicate(user: str, item: str) -> None:
    again = [event(user, entry, "2024-01-30T10:05", "again") for entry in ("bread", item)]
    assert issues_of(events(*again)) == []


def test_more_baskets_on_one_day_than_a_household_has_look_automated() -> None:
    many = [event("ann", "tea", f"2024-01-31T{10 + n}:00", f"busy-{n}") for n in range(3)]
    issues = issues_of(events(*many), automated_baskets_per_day=2)
    assert issues == [(f"busy-{n}", "", "automated") for n in range(3)]
    assert issues_of(events(*many), automated_baskets_per_day=3) == []


def test_baskets_at_even_intervals_look_automated() -> None:
    issues = issues_of(events(), automated_minimum_baskets=7)
    assert len(issues) == 14  # seven weekly baskets of each shopper, to the hour
    assert {reason for _, _, reason in issues} == {"automated"}
    assert issues_of(events(), automated_minimum_baskets=8) == []


def test_an_account_with_more_lines_than_any_household_is_doubtful_in_every_window() -> None:
    more = [event("ann", "tea", f"2024-02-07T{hour}:00", f"x{hour}") for hour in (10, 12)]
    source = labelled(events(*more), **CALM).source
    heavy = find_label_issues(source, events(*more), labeling(**CALM), "UTC", maximum_user_lines=15)
    assert set(heavy["reason"]) == {"heavy account"}
    baskets = source.baskets.loc[heavy["basket"]]
    assert set(baskets["user_id"]) == {"ann"}  # 16 lines; Bob has 14
    assert len(baskets) == 7  # from 15 January on: five Tuesdays and two more
    assert find_label_issues(source, events(*more), labeling(**CALM), "UTC", 16).empty


def test_a_line_that_cost_nothing_is_doubtful_by_itself() -> None:
    free = event("ann", "tea", "2024-01-30T10:00", "ann-01-30", price=0.0)
    assert issues_of(events(free)) == [("ann-01-30", "tea", "zero value")]


@pytest.mark.parametrize(("price", "conflicts"), [(2.0, False), (3.0, True)])
def test_sources_that_contradict_each_other_are_doubtful(price: float, *, conflicts: bool) -> None:
    other = event("ann", "salt", "2024-01-30T10:00", "ann-01-30", source="app", price=price)
    expected = [("ann-01-30", "salt", "conflicting sources")] if conflicts else []
    assert issues_of(events(other)) == expected


def free_tea() -> pd.DataFrame:
    """One free line in validation (a label of two examples) and one before all windows."""
    return events(
        event("ann", "tea", "2024-01-30T10:00", "ann-01-30", price=0.0),
        event("ann", "tea", "2024-01-09T10:00", "ann-01-09", price=0.0),
    )


def test_the_audit_counts_issues_in_all_baskets_and_in_the_labels_in_use() -> None:
    params = labeling(**CALM, cart_fraction=0.0)
    result = labelled(free_tea(), **CALM, cart_fraction=0.0)
    issues = find_label_issues(result.source, free_tea(), params, "UTC")
    counts = audit_labels(result, issues, issues, items(), params.bulk_quantile)
    assert counts.doubts["zero value"] == IssueCounts(n_baskets=2, n_users=1, n_rows=2)
    assert counts.doubts["bulk"] == IssueCounts(n_baskets=0, n_users=0, n_rows=0)
    # 20 examples of two labels each, and tea in the rolling and the first-basket example
    assert counts.labels.n_labels == 42
    assert counts.labels.n_doubtful == 2
    assert counts.labels.n_reviewed == 26  # without the 16 of test and production
    assert counts.labels.doubtful_fraction == pytest.approx(2 / 26)
    assert counts.labels.n_held_out_doubtful == 0
    assert counts.labels.n_doubtful_by_reason["zero value"] == 2
    assert (counts.n_baskets, counts.n_lines) == (14, 30)


def test_labels_without_a_category_are_counted() -> None:
    result = labelled(events(), **CALM, cart_fraction=0.0)
    params = labeling(**CALM)
    issues = find_label_issues(result.source, events(), params, "UTC")
    catalogue = items()
    catalogue.loc[catalogue["item_id"] == "salt", "category"] = None
    listed = catalogue[catalogue["item_id"] != "oil"]
    counts = audit_labels(result, issues, issues, listed, params.bulk_quantile)
    assert counts.labels.n_without_category == 8  # two shoppers, two protocols, two items


def test_the_queue_asks_about_each_label_in_use_once() -> None:
    result = labelled(free_tea(), **CALM)
    issues = find_label_issues(result.source, free_tea(), labeling(**CALM), "UTC")
    queue = build_review_queue(issues, result)
    assert queue.iloc[0].to_dict() == {
        "example_id": review_id("first_basket:ann:ann-01-30"),
        "basket_id": "ann-01-30",
        "item_id": "tea",
        "reason": "zero value",
        "decision": "",
        "timestamp": "2024-01-30T10:00:00Z",
        "n_items": 3,
        "evidence": "1 units for nothing",
        "suggested": "keep",
    }
    assert len(queue) == 1
    (task,) = build_review_tasks(queue)
    assert task["data"]["item_id"] == "tea"
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["keep"]}


def test_balance_and_coverage_are_shares_of_what_was_known_before() -> None:
    balance = compute_balance(labelled(events(), n_negatives=2), items(), 1)
    row = balance.set_index(["split", "protocol"]).loc[("test", "rolling")]
    assert (row["n_examples"], row["n_users"], row["n_labels"]) == (2, 2, 4)
    assert row["mean_labels"] == 2.0
    assert row["positive_fraction"] == 4 / (4 + 4)
    assert row["user_coverage"] == 1.0
    assert row["item_coverage"] == pytest.approx(1 / 6)  # of six sold before, bread is a label
    assert row["department_coverage"] == 1 / 2  # bakery of bakery and grocery
