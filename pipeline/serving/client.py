"""A typed HTTP client with timeouts, and retries with back-off where a retry is safe.

Recommendations change nothing, so they are retried. Events get an id before they are sent, so that
the store counts each once. Pauses grow with each attempt, are at least as long as Retry-After, and
have a random part, so that clients refused together do not return together.
"""

import random
import time
import uuid
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from pipeline.contracts.errors import EvergreenError
from pipeline.serving.engine.batch import BatchAnswer, BatchRequest
from pipeline.serving.engine.similar import SimilarAnswer
from pipeline.serving.explanations.explanation_log import ExplainAnswer
from pipeline.serving.payloads import (
    MAXIMUM_EVENTS,
    ErrorAnswer,
    Event,
    EventsAnswer,
    RecommendAnswer,
    RecommendRequest,
)
from pipeline.serving.reranking.availability import AvailabilityAnswer, ItemAvailability

# Too many requests, or the service or its proxy is busy or starting.
RETRY_STATUSES = frozenset({429, 502, 503, 504})
BODY_BYTES = 32 * 1024
BACK_OFF_SECONDS = 0.1
MAXIMUM_PAUSE_SECONDS = 5.0


class ServiceError(EvergreenError):
    """The service refused a request, or did not answer.

    Attributes:
        status: HTTP status of the answer, None without one.
    """

    status: int | None = None


class Client:
    """Client of one service; a context manager."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        attempts: int = 5,
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Open a pool of connections.

        Args:
            url: Base URL, such as http://127.0.0.1:3000.
            timeout_seconds: Timeout of one attempt.
            attempts: Maximum number of attempts, at least 1.
            key: API key, if the service requires one.
            transport: Replaces the network in tests.
        """
        self._attempts = max(attempts, 1)
        self._http = httpx.Client(
            base_url=url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            transport=transport,
            trust_env=False,
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
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Return the answer to a recommendation request.

        Raises:
            ServiceError: The service refused the request, or no attempt got an answer.
        """
        body = request.model_dump_json(exclude_none=True)
        return RecommendAnswer.model_validate_json(self._post("/recommend", body))

    def send(self, events: Sequence[Event]) -> EventsAnswer:
        """Store events; return how many were new.

        To repeat a failed call safely, give the events ids first (`assign_event_ids`): events that
        the service had stored already then count as duplicates.

        Raises:
            ServiceError: The service refused the request, or no attempt got an answer.
        """
        accepted = duplicates = 0
        for body in split_bodies(events):
            answer = EventsAnswer.model_validate_json(self._post("/events", body))
            accepted, duplicates = accepted + answer.accepted, duplicates + answer.duplicates
        return EventsAnswer(accepted=accepted, duplicates=duplicates)

    def recommend_batch(self, request: BatchRequest) -> BatchAnswer:
        """Return the answers for many users.

        Raises:
            ServiceError: The service refused the request, or no attempt got an answer.
        """
        body = request.model_dump_json(exclude_none=True)
        return BatchAnswer.model_validate_json(self._post("/recommend_batch", body))

    def similar(self, item_id: str, *, k: int | None = None) -> SimilarAnswer:
        """Return the items that are bought together with one item.

        Raises:
            ServiceError: The item is unknown, or the service did not answer.
        """
        query = "" if k is None else f"?k={k}"
        response = self._get(f"/similar/{quote(item_id, safe='')}{query}")
        return SimilarAnswer.model_validate_json(response.content)

    def explain(self, request_id: str) -> ExplainAnswer:
        """Return the logged answer to a request, with its reasons.

        Raises:
            ServiceError: The log has no such answer, or the service did not answer.
        """
        response = self._get(f"/explain/{quote(request_id, safe='')}")
        return ExplainAnswer.model_validate_json(response.content)

    def set_availability(self, changes: Sequence[ItemAvailability]) -> AvailabilityAnswer:
        """Set which items are available; return how many changes were stored.

        Raises:
            ServiceError: The service refused the request, or no attempt got an answer.
        """
        body = f"[{','.join(change.model_dump_json() for change in changes)}]"
        return AvailabilityAnswer.model_validate_json(self._post("/availability", body))

    def is_ready(self) -> bool:
        """Return whether the model is loaded."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def metrics(self) -> str:
        """Return the Prometheus metrics as text.

        Raises:
            ServiceError: The service refused the request or did not answer.
        """
        return self._get("/metrics").text

    def docs(self) -> dict[str, Any]:
        """Return the OpenAPI document.

        Raises:
            ServiceError: The service refused the request or did not answer.
        """
        document: dict[str, Any] = self._get("/docs.json").json()
        return document

    def _get(self, path: str) -> httpx.Response:
        try:
            return _check(self._http.get(path))
        except httpx.TransportError as error:
            raise _no_answer_error(str(self._http.base_url), error) from error

    def _post(self, path: str, body: str) -> bytes:
        headers = {"Content-Type": "application/json"}
        attempt = 1
        while True:
            retry_after = ""
            try:
                response = self._http.post(path, content=body, headers=headers)
                if response.status_code not in RETRY_STATUSES or attempt == self._attempts:
                    return _check(response).content
                retry_after = response.headers.get("Retry-After", "")
            except httpx.TransportError as error:
                if attempt == self._attempts:
                    raise _no_answer_error(str(self._http.base_url), error) from error
            time.sleep(pause_seconds(attempt, retry_after))
            attempt += 1


def split_bodies(events: Sequence[Event], *, maximum_bytes: int = BODY_BYTES) -> Iterator[str]:
    """Yield JSON lists of events, each within the service's limits.

    Args:
        events: Events to send.
        maximum_bytes: Maximum size of one list in bytes; a larger single event is yielded alone.
    """
    part: list[str] = []
    for event in assign_event_ids(events):
        text = event.model_dump_json(exclude_none=True)
        size = sum(len(entry) + 1 for entry in part) + len(text)
        if part and (size > maximum_bytes or len(part) == MAXIMUM_EVENTS):
            yield f"[{','.join(part)}]"
            part = []
        part.append(text)
    if part:
        yield f"[{','.join(part)}]"


def assign_event_ids(events: Sequence[Event]) -> list[Event]:
    """Return the events, with a random id for each event that has none."""
    return [
        event if event.event_id else event.model_copy(update={"event_id": uuid.uuid4().hex})
        for event in events
    ]


def pause_seconds(attempt: int, retry_after: str = "") -> float:
    """Return the pause after an attempt: Retry-After plus a random back-off, in seconds.

    Args:
        attempt: Number of the attempt, from 1.
        retry_after: Retry-After header in seconds; a date is ignored.
    """
    requested = float(retry_after) if retry_after.isdecimal() else 0.0
    back_off = BACK_OFF_SECONDS * 2.0 ** (attempt - 1)
    return min(requested + random.uniform(0.5, 1.0) * back_off, MAXIMUM_PAUSE_SECONDS)  # noqa: S311


def _check(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = ErrorAnswer.model_validate_json(response.content).error
    except ValueError:
        failure = ServiceError(
            "an answer of the service",
            received=f"HTTP {response.status_code}: {response.text[:200]}",
            action="See the service's log.",
        )
    else:
        failure = ServiceError(problem.wanted, received=problem.received, action=problem.action)
    failure.status = response.status_code
    raise failure


def _no_answer_error(url: str, error: Exception) -> ServiceError:
    return ServiceError(
        f"an answer from {url}",
        received=f"{type(error).__name__}: {error}",
        action="Start the service with `make serve`, or correct the URL.",
    )
