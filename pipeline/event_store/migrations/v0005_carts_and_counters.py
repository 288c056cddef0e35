"""Add the cart of a request, an index for periods of time, and the counters of the service."""

import sqlalchemy as sa
from alembic import op

from pipeline.event_store.tables import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and the index, and create the table."""
    cart = sa.Column("cart", sa.JSON, nullable=False, server_default="[]")
    op.add_column("predictions", cart)
    op.create_index("predictions_by_time", "predictions", ["timestamp"])
    op.create_table(
        "service_counters",
        sa.Column("hour", UtcDateTime, primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("labels", sa.String(128), primary_key=True),
        sa.Column("increase", sa.Double, nullable=False),
    )
