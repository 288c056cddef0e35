"""Event ids derived from the Idempotency-Key, so that a repeated request counts once.

The id of an event without one is a hash of the key, the event's position in the list and the event
itself. A client that reuses a key for other events by mistake loses none of them, because their
hashes differ.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence

from pipeline.contracts.errors import RequestError
from pipeline.serving.payloads import Event

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,255}")


def assign_event_ids(events: Sequence[Event], key: str | None) -> list[Event]:
    """Return the events, each with an id.

    Args:
        events: Events of one request, in order.
        key: Idempotency-Key of the request; without one, ids are random.

    Raises:
        RequestError: The key is empty, too long, or not visible ASCII.
    """
    if key is not None and not KEY.fullmatch(key):
        raise RequestError(
            f"1 to 255 visible ASCII characters in the header {HEADER}",
            received=f"{len(key)} characters",
            action="Send a new random key, such as a UUID, with each new request.",
        )
    return [
        event
        if event.event_id
        else event.model_copy(update={"event_id": _build_id(event, position, key)})
        for position, event in enumerate(events)
    ]


def _build_id(event: Event, position: int, key: str | None) -> str:
    if key is None:
        return uuid.uuid4().hex
    content = f"{key}\x00{position}\x00{event.model_dump_json()}"
    return hashlib.sha256(content.encode()).hexdigest()
