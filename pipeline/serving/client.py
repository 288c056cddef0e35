"""A small typed client: time-outs, and retries with back-off where trying again is safe.

A recommendation changes nothing, so it is asked again. An event gets an id here, so that the store
counts it once however often it is sent.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from pipeline.errors import EvergreenError
from pipeline.shelf.availability import AvailabilityAnswer, ItemAvailability
from pipeline.shelf.batch import BatchAnswer, BatchRequest
from pipeline.shelf.explaining import ExplainAnswer
from pipeline.shelf.payloads import (
    MAXIMUM_EVENTS,
    ErrorAnswer,
    Event,
    EventsAnswer,
    RecommendAnswer,
    RecommendRequest,
)
from pipeline.shelf.similar import SimilarAnswer

UNAVAILABLE = 503
BODY_BYTES = 32 * 1024
BACK_OFF_SECONDS = 0.1
MAXIMUM_PAUSE_SECONDS = 5.0


class ServiceError(EvergreenError):
    """The service refused a request, or did not answer."""

    status: int | None = None


class Client:
    """Speaks to one service; use it as a context manager."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        attempts: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Open a pool of connections.

        Args:
            url: Such as http://127.0.0.1:3000.
            timeout_seconds: Per attempt.
            attempts: How often to try in all.
            transport: For tests.
        """
        self._attempts = attempts
        self._http = httpx.Client(
            base_url=url, timeout=timeout_seconds, transport=transport, trust_env=False
        )

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Return the answer to a recommendation request.

        Raises:
            ServiceError: The service refused it, or did not answer after all attempts.
        """
        body = request.model_dump_json(exclude_none=True)
        return RecommendAnswer.model_validate_json(self._post("/recommend", body))

    def send(self, events: Sequence[Event]) -> EventsAnswer:
        """Return how many events were new; all are on the service's disk then.

        Raises:
            ServiceError: The service refused them, or did not answer after all attempts.
        """
        accepted = duplicates = 0
        for body in bodies(events):
            answer = EventsAnswer.model_validate_json(self._post("/events", body))
            accepted, duplicates = accepted + answer.accepted, duplicates + answer.duplicates
        return EventsAnswer(accepted=accepted, duplicates=duplicates)

    def recommend_batch(self, request: BatchRequest) -> BatchAnswer:
        """Return the answers for many shoppers.

        Raises:
            ServiceError: The service refused it, or did not answer after all attempts.
        """
        body = request.model_dump_json(exclude_none=True)
        return BatchAnswer.model_validate_json(self._post("/recommend_batch", body))

    def similar(self, item_id: str, *, k: int | None = None) -> SimilarAnswer:
        """Return items that are bought together with one.

        Raises:
            ServiceError: The item is not known, or the service does not answer.
        """
        query = "" if k is None else f"?k={k}"
        found = self._get(f"/similar/{quote(item_id, safe='')}{query}")
        return SimilarAnswer.model_validate_json(found.content)

    def explain(self, request_id: str) -> ExplainAnswer:
        """Return what was shown in answer to a request, and why.

        Raises:
            ServiceError: No such answer is logged, or the service does not answer.
        """
        found = self._get(f"/explain/{quote(request_id, safe='')}")
        return ExplainAnswer.model_validate_json(found.content)

    def set_availability(self, changes: Sequence[ItemAvailability]) -> AvailabilityAnswer:
        """Say which items can be bought; return how many changes are on the service's disk.

        Raises:
            ServiceError: The service refused them, or did not answer after all attempts.
        """
        body = f"[{','.join(change.model_dump_json() for change in changes)}]"
        return AvailabilityAnswer.model_validate_json(self._post("/availability", body))

    def is_ready(self) -> bool:
        """Tell whether the model is loaded."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def metrics(self) -> str:
        """Return the Prometheus metrics as text.

        Raises:
            ServiceError: The service does not give them.
        """
        return self._get("/metrics").text

    def docs(self) -> dict[str, Any]:
        """Return the OpenAPI document.

        Raises:
            ServiceError: The service does not give it.
        """
        found: dict[str, Any] = self._get("/docs.json").json()
        return found

    def _get(self, path: str) -> httpx.Response:
        try:
            return _checked(self._http.get(path))
        except httpx.TransportError as error:
            raise _no_answer(str(self._http.base_url), error) from error

    def _post(self, path: str, body: str) -> bytes:
        headers = {"Content-Type": "application/json"}
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                response = self._http.post(path, content=body, headers=headers)
            except httpx.TransportError as error:
                if last:
                    raise _no_answer(str(self._http.base_url), error) from error
                time.sleep(_pause(attempt))
                continue
            if response.status_code != UNAVAILABLE or last:
                return _checked(response).content
            time.sleep(_pause(attempt, response.headers.get("Retry-After", "")))
        message = "at least one attempt was wanted"
        raise ValueError(message)


def bodies(events: Sequence[Event], *, maximum_bytes: int = BODY_BYTES) -> Iterator[str]:
    """Yield the events as JSON lists, each no longer than the service takes at once."""
    part: list[str] = []
    for event in events:
        text = _with_id(event).model_dump_json(exclude_none=True)
        size = sum(len(each) + 1 for each in part) + len(text)
        if part and (size > maximum_bytes or len(part) == MAXIMUM_EVENTS):
            yield f"[{','.join(part)}]"
            part = []
        part.append(text)
    if part:
        yield f"[{','.join(part)}]"


def _with_id(event: Event) -> Event:
    return event if event.event_id else event.model_copy(update={"event_id": uuid.uuid4().hex})


def _pause(attempt: int, retry_after: str = "") -> float:
    asked = float(retry_after) if retry_after.isdecimal() else 0.0
    return min(max(asked, BACK_OFF_SECONDS * 2.0 ** (attempt - 1)), MAXIMUM_PAUSE_SECONDS)


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = ErrorAnswer.model_validate_json(response.content).error
    except ValueError:
        found = ServiceError(
            "An answer of the service was wanted",
            received=f"HTTP {response.status_code}: {response.text[:200]}",
            action="See the service's log.",
        )
    else:
        found = ServiceError(problem.wanted, received=problem.received, action=problem.action)
    found.status = response.status_code
    raise found


def _no_answer(url: str, error: Exception) -> ServiceError:
    return ServiceError(
        f"An answer from {url} was wanted",
        received=f"{type(error).__name__}: {error}",
        action="Start it with `make serve`, or correct the address.",
    )
