"""An id for each event that came without one, the same when the request is sent again.

The id follows from the request's Idempotency-Key, the event's place in the list and the event
itself. A client that did not get its answer sends the same again, and nothing counts twice. One
that uses a key again for other events by mistake loses none of them: they are other ids.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence

from pipeline.contracts.errors import RequestError
from pipeline.serving.payloads import Event

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,255}")


def identified(events: Sequence[Event], key: str | None) -> list[Event]:
    """Return the events, each with an id.

    Args:
        events: Of one request, in its order.
        key: The request's Idempotency-Key, None without one.

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
        event if event.event_id else event.model_copy(update={"event_id": _id(event, place, key)})
        for place, event in enumerate(events)
    ]


def _id(event: Event, place: int, key: str | None) -> str:
    if key is None:
        return uuid.uuid4().hex
    told = f"{key}\x00{place}\x00{event.model_dump_json()}"
    return hashlib.sha256(told.encode()).hexdigest()
