"""Add the table of answers from shadow models."""

import sqlalchemy as sa
from alembic import op

from pipeline.event_store.tables import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "shadow_answers",
        sa.Column("request_id", sa.String(32), primary_key=True),
        sa.Column("model_version", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("slots", sa.JSON, nullable=False),
        sa.Column("latency_ms", sa.Double),
        sa.Column("error", sa.String(256)),
        sa.Column("received_at", UtcDateTime, nullable=False),
    )
    op.create_index("shadow_answers_by_user", "shadow_answers", ["user_id"])
    op.create_index("shadow_answers_by_receipt", "shadow_answers", ["received_at"])
