"""Item availability: set at run time, stored on disk, and held in memory for every answer."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from pipeline.event_store.store import EventStore
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY, Vocabulary
from pipeline.serving.parsing import parse_one_or_more
from pipeline.serving.payloads import Id, Payload

MAXIMUM_CHANGES = 1_000


class ItemAvailability(Payload):
    """One change in the body of POST /availability."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_id": "1029743", "available": False}]}
    )

    item_id: Id
    available: bool = Field(
        description="False: out of stock or not on sale; the item is never recommended."
    )


class AvailabilityAnswer(Payload):
    """Answer to POST /availability, given after the changes are on disk."""

    accepted: int
    unknown: int = Field(description="Number of items that the model does not know.")


_CHANGE = TypeAdapter(ItemAvailability)
_CHANGES = TypeAdapter(
    Annotated[list[ItemAvailability], Field(min_length=1, max_length=MAXIMUM_CHANGES)]
)


def parse_availability(body: bytes) -> list[ItemAvailability]:
    """Return the changes in `body`, a JSON object or a list of objects.

    Raises:
        RequestError: The body is not JSON, or does not match `ItemAvailability`.
    """
    return parse_one_or_more(_CHANGE, _CHANGES, body)


class Availability:
    """The unavailable items, as in the store.

    Attributes:
        blocked: Indices of unavailable items; replaced, never changed, so that a reader in another
            thread sees a consistent state.
    """

    def __init__(self, store: EventStore, vocabulary: Vocabulary) -> None:
        """Read availability from the store.

        Raises:
            StoreError: The store cannot be read.
        """
        self._store = store
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self.blocked: frozenset[int] = frozenset()
        self.refresh()

    def apply(self, changes: Sequence[ItemAvailability]) -> AvailabilityAnswer:
        """Write changes to disk; they apply to the next answer.

        If an item changes more than once, the last change counts.

        Raises:
            StoreError: The write failed; no change was stored.
        """
        available = {change.item_id: change.available for change in changes}
        back = self._encode([name for name, value in available.items() if value])
        gone = self._encode([name for name, value in available.items() if not value])
        with self._lock:
            self._store.set_availability(available, changed_at=datetime.now(UTC))
            self.blocked = (self.blocked - back) | gone
        return AvailabilityAnswer(
            accepted=len(changes), unknown=len(available) - len(back) - len(gone)
        )

    def refresh(self) -> None:
        """Read availability from the store again.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            self.blocked = self._encode(self._store.unavailable())

    def _encode(self, item_ids: Sequence[str]) -> frozenset[int]:
        indices = frozenset(self._vocabulary.encode(item_ids).tolist())
        return indices - {OUT_OF_VOCABULARY}
