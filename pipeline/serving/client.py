"""A small typed client: time-outs, and retries with back-off where trying again is safe.

A recommendation changes nothing, so it is asked again. An event gets an id here, so that the store
counts it once however often it is sent. A pause is longer after each attempt, never shorter than
the service asks for, and partly random: clients that were refused together do not return together.
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

# Not now: too many requests, or the service or what stands before it is busy or starting.
TRY_AGAIN = frozenset({429, 502, 503, 504})
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
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Open a pool of connections.

        Args:
            url: Such as http://127.0.0.1:3000.
            timeout_seconds: Per attempt.
            attempts: How often to try in all, at least once.
            key: An API key, where the service asks for one.
            transport: For tests.
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

        To repeat a call that failed, give the events ids first (`identified`): what the service
        had taken of them already then counts as duplicates.

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
        attempt = 1
        while True:
            asked = ""
            try:
                response = self._http.post(path, content=body, headers=headers)
                if response.status_code not in TRY_AGAIN or attempt == self._attempts:
                    return _checked(response).content
                asked = response.headers.get("Retry-After", "")
            except httpx.TransportError as error:
                if attempt == self._attempts:
                    raise _no_answer(str(self._http.base_url), error) from error
            time.sleep(pause_seconds(attempt, asked))
            attempt += 1


def bodies(events: Sequence[Event], *, maximum_bytes: int = BODY_BYTES) -> Iterator[str]:
    """Yield the events as JSON lists, each no longer than the service takes at once."""
    part: list[str] = []
    for event in identified(events):
        text = event.model_dump_json(exclude_none=True)
        size = sum(len(each) + 1 for each in part) + len(text)
        if part and (size > maximum_bytes or len(part) == MAXIMUM_EVENTS):
            yield f"[{','.join(part)}]"
            part = []
        part.append(text)
    if part:
        yield f"[{','.join(part)}]"


def identified(events: Sequence[Event]) -> list[Event]:
    """Return the events, each with an id; those that have one keep it."""
    return [
        event if event.event_id else event.model_copy(update={"event_id": uuid.uuid4().hex})
        for event in events
    ]


def pause_seconds(attempt: int, retry_after: str = "") -> float:
    """Return how long to wait after an attempt: what was asked for, and a random part on top.

    Args:
        attempt: Which one it was, from 1.
        retry_after: The answer's header; a date in it is not read.
    """
    asked = float(retry_after) if retry_after.isdecimal() else 0.0
    back_off = BACK_OFF_SECONDS * 2.0 ** (attempt - 1)
    return min(asked + random.uniform(0.5, 1.0) * back_off, MAXIMUM_PAUSE_SECONDS)  # noqa: S311


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = ErrorAnswer.model_validate_json(response.content).error
    except ValueError:
        found = ServiceError(
            "an answer of the service",
            received=f"HTTP {response.status_code}: {response.text[:200]}",
            action="See the service's log.",
        )
    else:
        found = ServiceError(problem.wanted, received=problem.received, action=problem.action)
    found.status = response.status_code
    raise found


def _no_answer(url: str, error: Exception) -> ServiceError:
    return ServiceError(
        f"an answer from {url}",
        received=f"{type(error).__name__}: {error}",
        action="Start it with `make serve`, or correct the address.",
    )
