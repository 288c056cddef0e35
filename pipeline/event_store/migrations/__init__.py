"""Migrations from each version of the database to the next, as Alembic steps.

To change a table: change `tables.py`, add the next module here with the same change, and add it to
`VERSIONS`. Never change a released step.
"""

from types import ModuleType

from pipeline.event_store.migrations import (
    v0001_events_and_predictions,
    v0002_retention_and_forget,
    v0003_what_was_shown_and_why,
    v0004_shadow_answers,
    v0005_carts_and_counters,
)

VERSIONS: tuple[ModuleType, ...] = (
    v0001_events_and_predictions,
    v0002_retention_and_forget,
    v0003_what_was_shown_and_why,
    v0004_shadow_answers,
    v0005_carts_and_counters,
)
"""From the first to the latest. They are imported explicitly, so that a Bento contains them."""
