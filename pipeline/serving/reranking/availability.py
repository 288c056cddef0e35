"""Which items can be bought now: told at run time, on disk, and in memory for every answer."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from pipeline.event_store.store import EventStore
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY, Vocabulary
from pipeline.serving.payloads import Id, Payload, parse_one_or_more

MAXIMUM_CHANGES = 1_000


class ItemAvailability(Payload):
    """One change in the body of POST /availability."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_id": "1029743", "available": False}]}
    )

    item_id: Id
    available: bool = Field(description="False: out of stock or not on sale, never recommended.")


class AvailabilityAnswer(Payload):
    """Answer to POST /availability, given after the changes are on disk."""

    accepted: int
    unknown: int = Field(description="How many of them the model does not know and never shows.")


_CHANGE = TypeAdapter(ItemAvailability)
_CHANGES = TypeAdapter(
    Annotated[list[ItemAvailability], Field(min_length=1, max_length=MAXIMUM_CHANGES)]
)


def parse_availability(body: bytes) -> list[ItemAvailability]:
    """Return the changes in `body`, which holds one or a list of them.

    Raises:
        RequestError: It is not JSON, or not such changes.
    """
    return parse_one_or_more(_CHANGE, _CHANGES, body)


class Availability:
    """The items that must not be recommended, as the store knows them.

    Attributes:
        blocked: Item indices; replaced, never changed, so that a reader in another thread sees one
            state or the next.
    """

    def __init__(self, store: EventStore, vocabulary: Vocabulary) -> None:
        """Read what the store knows.

        Raises:
            StoreError: The store cannot be read.
        """
        self._store = store
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self.blocked: frozenset[int] = frozenset()
        self.refresh()

    def change(self, changes: Sequence[ItemAvailability]) -> AvailabilityAnswer:
        """Put changes on disk; the next answer keeps to them.

        Of several changes of one item the last counts.

        Raises:
            StoreError: Nothing was written.
        """
        available = {change.item_id: change.available for change in changes}
        back = self._known([name for name, value in available.items() if value])
        gone = self._known([name for name, value in available.items() if not value])
        with self._lock:
            self._store.set_availability(available, changed_at=datetime.now(UTC))
            self.blocked = (self.blocked - back) | gone
        return AvailabilityAnswer(
            accepted=len(changes), unknown=len(available) - len(back) - len(gone)
        )

    def refresh(self) -> None:
        """Read again what the store knows.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            self.blocked = self._known(self._store.unavailable())

    def _known(self, item_ids: Sequence[str]) -> frozenset[int]:
        found = frozenset(self._vocabulary.encode(item_ids).tolist())
        return found - {OUT_OF_VOCABULARY}
