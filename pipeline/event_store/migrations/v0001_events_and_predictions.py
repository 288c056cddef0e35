"""Add the tables of events and predictions.

Databases from before migrations already have them, with the same columns.
"""

import sqlalchemy as sa
from alembic import op

from pipeline.event_store.tables import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "events",
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
        if_not_exists=True,
    )
    op.create_index("events_by_user", "events", ["user_id", "timestamp"], if_not_exists=True)
    op.create_index("events_by_time", "events", ["timestamp"], if_not_exists=True)
    op.create_table(
        "predictions",
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
        if_not_exists=True,
    )
    op.create_index(
        "predictions_by_user", "predictions", ["user_id", "timestamp"], if_not_exists=True
    )
