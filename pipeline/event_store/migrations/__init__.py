"""How a database of any earlier version becomes one of this version: an Alembic step each.

To change a table: change `tables.py`, add the next module here with the same change, and name it
in `VERSIONS`. A step that was released is never changed.
"""

from types import ModuleType

from pipeline.event_store.migrations import (
    v0001_events_and_predictions,
    v0002_retention_and_forget,
    v0003_what_was_shown_and_why,
    v0004_shadow_answers,
)

VERSIONS: tuple[ModuleType, ...] = (
    v0001_events_and_predictions,
    v0002_retention_and_forget,
    v0003_what_was_shown_and_why,
    v0004_shadow_answers,
)
"""From the first to the latest. Imported, not found in a folder: a Bento carries them for sure."""
