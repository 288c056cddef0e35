"""The store's events as collection cleans them, and its answers as replies."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.params import read_params
from pipeline.event_store.reader import EVENT_COLUMNS, LoggedAnswer
from pipeline.monitoring.production import build_replies, clean_events
from pipeline.recommenders.base.vocabulary import Vocabulary
from tests.support.tiny_shop import PROJECT

PARAMS = read_params(PROJECT / "params.yaml")
UNTIL = datetime(2024, 4, 1, tzinfo=UTC)
ITEMS = pd.DataFrame({"item_id": ["milk", "petrol"], "department": ["DAIRY", "FUEL"]})


def stored(*changes: dict[str, Any]) -> pd.DataFrame:
    moment = pd.Timestamp("2024-03-02T03:00:00Z")
    row = {
        "user_id": "ann", "item_id": "milk", "timestamp": moment, "event_type": "purchase",
        "quantity": 1.0, "price": 2.0, "discount": 0.0, "basket_id": "b1", "session_id": None,
        "store_id": None, "source": "serving", "received_at": moment,
    }  # fmt: skip
    return pd.DataFrame([row | change for change in changes], columns=list(EVENT_COLUMNS))


def test_events_are_cleaned_by_the_rules_of_collection() -> None:
    events = stored(
        {}, {"item_id": "petrol"}, {"quantity": 0.0}, {"quantity": 5_000.0}, {"item_id": "new"}
    )
    cleaned = clean_events(events, ITEMS, PARAMS, UNTIL)
    assert cleaned["item_id"].tolist() == ["milk", "new"]
    assert cleaned["timestamp"].dtype == "datetime64[us, UTC]"
    assert cleaned["timestamp"].iloc[0] == events["timestamp"].iloc[0]


def test_a_purchase_without_a_basket_gets_that_of_its_visit_or_of_its_day() -> None:
    events = stored({"basket_id": None, "session_id": "s1"}, {"basket_id": None}, {})
    cleaned = clean_events(events, None, PARAMS, UNTIL)
    # three at night in UTC is the day before in New York
    assert sorted(cleaned["basket_id"]) == ["2024-03-01", "b1", "s1"]


def test_without_events_the_table_is_empty() -> None:
    cleaned = clean_events(stored(), ITEMS, PARAMS, UNTIL)
    assert cleaned.empty
    assert cleaned["timestamp"].dtype == "datetime64[us, UTC]"


def test_answers_become_lists_of_k_items() -> None:
    answers = [
        LoggedAnswer(["tea", "caviar"], [0.5, 0.25], ["repeat", "explore"], []),
        LoggedAnswer(["milk", "tea", "jam", "tea"], [4.0, 3.0, 2.0, 1.0], ["popular"] * 4, []),
    ]
    requests = pd.DataFrame({"latency_ms": [3.0, 4.0]})
    replies = build_replies(requests, answers, Vocabulary(("jam", "milk", "tea")), 3)
    assert replies.served.items.tolist() == [[3, 0, 0], [2, 3, 1]]
    assert replies.served.scores.tolist() == [[0.5, 0.25, 0.0], [4.0, 3.0, 2.0]]
    assert replies.served.slots.tolist() == [[0, 1, 0], [2, 2, 2]]
    assert not replies.failed.any()
    assert replies.latency_ms.tolist() == [3.0, 4.0]
    assert np.isclose(replies.unanswered_fraction, 0.0)
