"""The list of forgotten people, and what finds old rows without reading all."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table and the indexes."""
    op.create_table(
        "suppressed",
        sa.Column("user_hash", sa.String(64), primary_key=True),
        sa.Column("salt", sa.String(32), primary_key=True),
    )
    op.create_index("events_by_receipt", "events", ["received_at"])
    op.create_index("predictions_by_receipt", "predictions", ["received_at"])
