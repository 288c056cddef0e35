"""Rows for the tests of the event store."""

from datetime import UTC, datetime
from typing import Any

from pipeline.event_store.store import Prediction, StoredEvent

NOON = datetime(2024, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def event(event_id: str, **changes: Any) -> StoredEvent:
    values: dict[str, Any] = {
        "event_id": event_id,
        "user_id": "ann",
        "item_id": "milk",
        "timestamp": NOON,
        "event_type": "purchase",
        "quantity": 2.0,
        "price": 1.5,
        "discount": 0.0,
        "basket_id": None,
        "session_id": None,
        "store_id": None,
        "source": "serving",
        "received_at": NOON,
    }
    return StoredEvent(**{**values, **changes})


def prediction(request_id: str, **changes: Any) -> Prediction:
    values: dict[str, Any] = {
        "request_id": request_id,
        "user_id": "ann",
        "timestamp": NOON,
        "store_id": None,
        "k": 2,
        "items": ["milk", "tea"],
        "scores": [0.5, 0.25],
        "slots": ["repeat", "explore"],
        "model_version": "0123456789ab",
        "latency_ms": 1.5,
        "received_at": NOON,
        "propensities": [1.0, 0.25],
        "reasons": [["You bought it once"], []],
    }
    return Prediction(**{**values, **changes})
