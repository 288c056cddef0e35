"""Add the list of forgotten people, and indexes on the time of receipt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table and the indexes."""
    op.create_table(
        "suppressed",
        sa.Column("user_hash", sa.String(64), primary_key=True),
        sa.Column("salt", sa.String(32), primary_key=True),
    )
    op.create_index("events_by_receipt", "events", ["received_at"])
    op.create_index("predictions_by_receipt", "predictions", ["received_at"])
