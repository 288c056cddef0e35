"""Rows for the event store: received events and served predictions."""

import uuid
from datetime import UTC, datetime

from pipeline.event_store.store import SOURCE, Prediction, StoredEvent
from pipeline.serving.engine.model_runtime import PreparedRequest
from pipeline.serving.payloads import Event, RecommendAnswer


def build_stored_event(event: Event, now: datetime) -> StoredEvent:
    """Return the row of an event; `now` is its receipt time, and its timestamp if it has none."""
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


def build_prediction(
    request: PreparedRequest,
    answer: RecommendAnswer,
    received_at: datetime,
    *,
    latency_ms: float,
    cart: list[str],
) -> Prediction:
    """Return the log's row for an answer.

    Args:
        request: The request.
        answer: The answer that was shown.
        received_at: Time at which the request came in.
        latency_ms: Time from request to answer.
        cart: Known items in the cart at the request.
    """
    return Prediction(
        request_id=answer.request_id,
        user_id=request.query.user_id,
        timestamp=datetime.fromtimestamp(request.context.moment, tz=UTC),
        store_id=request.query.store_id,
        k=request.rules.k,
        items=[item.item_id for item in answer.items],
        scores=[item.score for item in answer.items],
        slots=[item.slot for item in answer.items],
        propensities=[item.propensity for item in answer.items],
        reasons=[item.reasons for item in answer.items],
        model_version=answer.model_version,
        latency_ms=latency_ms,
        received_at=received_at,
        cart=cart,
    )
