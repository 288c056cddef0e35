"""Add propensities and reasons to predictions, and the table of availability."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and create the table."""
    for name in ("propensities", "reasons"):
        op.add_column("predictions", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))
    op.create_table(
        "availability",
        sa.Column("item_id", sa.String(128), primary_key=True),
        sa.Column("available", sa.Boolean, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
