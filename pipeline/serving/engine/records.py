"""What goes to the event store: rows of what came in and of what was shown."""

import uuid
from datetime import UTC, datetime

from pipeline.event_store.store import SOURCE, Prediction, StoredEvent
from pipeline.serving.engine.model_runtime import PreparedRequest
from pipeline.serving.payloads import Event, RecommendAnswer


def stored_event(event: Event, now: datetime) -> StoredEvent:
    """Return the row of an event; `now` is when it came and, if it says none, when it happened."""
    return StoredEvent(
        event_id=event.event_id or uuid.uuid4().hex,
        user_id=event.user_id,
        item_id=event.item_id,
        timestamp=event.timestamp or now,
        event_type=event.event_type,
        quantity=event.quantity,
        price=event.price,
        discount=event.discount,
        basket_id=event.basket_id,
        session_id=event.session_id,
        store_id=event.store_id,
        source=SOURCE,
        received_at=now,
    )


def prediction_of(
    asked: PreparedRequest, answer: RecommendAnswer, received_at: datetime, *, latency_ms: float
) -> Prediction:
    """Return what is logged of an answer.

    Args:
        asked: The request.
        answer: What was shown.
        received_at: When it was asked.
        latency_ms: How long the answer took.
    """
    return Prediction(
        request_id=answer.request_id,
        user_id=asked.query.user_id,
        timestamp=datetime.fromtimestamp(asked.situation.moment, tz=UTC),
        store_id=asked.query.store_id,
        k=asked.rules.k,
        items=[item.item_id for item in answer.items],
        scores=[item.score for item in answer.items],
        slots=[item.slot for item in answer.items],
        propensities=[item.propensity for item in answer.items],
        reasons=[item.reasons for item in answer.items],
        model_version=answer.model_version,
        latency_ms=latency_ms,
        received_at=received_at,
    )
