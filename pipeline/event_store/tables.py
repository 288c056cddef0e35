"""The tables of the database, and a data class for a row of each.

A change here needs a migration in `migrations/`; a test compares the two.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect

SOURCE = "serving"


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A zone-aware moment; SQLite stores it as UTC text that sorts by time."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the value to store."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = sa.MetaData()
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("event_id", sa.String(128), primary_key=True),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("item_id", sa.String(128), nullable=False),
    sa.Column("timestamp", UtcDateTime, nullable=False),
    sa.Column("event_type", sa.String(16), nullable=False),
    sa.Column("quantity", sa.Double, nullable=False),
    sa.Column("price", sa.Double, nullable=False),
    sa.Column("discount", sa.Double, nullable=False),
    sa.Column("basket_id", sa.String(128)),
    sa.Column("session_id", sa.String(128)),
    sa.Column("store_id", sa.String(128)),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Index("events_by_user", "user_id", "timestamp"),
    sa.Index("events_by_time", "timestamp"),
    sa.Index("events_by_receipt", "received_at"),
)
PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("timestamp", UtcDateTime, nullable=False),
    sa.Column("store_id", sa.String(128)),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Column("items", sa.JSON, nullable=False),
    sa.Column("scores", sa.JSON, nullable=False),
    sa.Column("slots", sa.JSON, nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("latency_ms", sa.Double, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("propensities", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("reasons", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("cart", sa.JSON, nullable=False, server_default="[]"),
    sa.Index("predictions_by_user", "user_id", "timestamp"),
    sa.Index("predictions_by_time", "timestamp"),
    sa.Index("predictions_by_receipt", "received_at"),
)
SHADOW_ANSWERS = sa.Table(  # answers of a shadow model; see serving/releases/shadow.py
    "shadow_answers",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),
    sa.Column("model_version", sa.String(64), primary_key=True),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("items", sa.JSON, nullable=False),
    sa.Column("scores", sa.JSON, nullable=False),
    sa.Column("slots", sa.JSON, nullable=False),
    sa.Column("latency_ms", sa.Double),
    sa.Column("error", sa.String(256)),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Index("shadow_answers_by_user", "user_id"),
    sa.Index("shadow_answers_by_receipt", "received_at"),
)
AVAILABILITY = sa.Table(  # the latest availability of each item
    "availability",
    METADATA,
    sa.Column("item_id", sa.String(128), primary_key=True),
    sa.Column("available", sa.Boolean, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
)
SERVICE_COUNTERS = sa.Table(  # see serving/observability/counter_log.py
    "service_counters",
    METADATA,
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("labels", sa.String(128), primary_key=True),
    sa.Column("increase", sa.Double, nullable=False),
)
SUPPRESSED = sa.Table(  # forgotten people; see suppression.py
    "suppressed",
    METADATA,
    sa.Column("user_hash", sa.String(64), primary_key=True),
    sa.Column("salt", sa.String(32), primary_key=True),
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the events table."""

    event_id: str
    user_id: str
    item_id: str
    timestamp: datetime
    event_type: str
    quantity: float
    price: float
    discount: float
    basket_id: str | None
    session_id: str | None
    store_id: str | None
    source: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of the predictions table: a list that a user was shown.

    In rows of earlier versions, propensities, reasons and cart are empty lists.
    """

    request_id: str
    user_id: str
    timestamp: datetime
    store_id: str | None
    k: int
    items: list[str]
    scores: list[float]
    slots: list[str]
    model_version: str
    latency_ms: float
    received_at: datetime
    propensities: list[float]
    reasons: list[list[str]]
    cart: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """One row of the shadow_answers table; a failed request has an error and no latency."""

    request_id: str
    model_version: str
    user_id: str
    items: list[str]
    scores: list[float]
    slots: list[str]
    latency_ms: float | None
    error: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class CounterIncrease:
    """One row of the service_counters table: how much a counter grew in an hour."""

    hour: datetime
    name: str
    labels: str
    increase: float


def to_row(value: StoredEvent | Prediction | ShadowAnswer | CounterIncrease) -> dict[str, Any]:
    """Return the columns of a value."""
    return {name: getattr(value, name) for name in value.__slots__}
