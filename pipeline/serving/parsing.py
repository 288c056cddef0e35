"""Parsing of request bodies, and the limits of params.yaml for requests."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.contracts.errors import RequestError
from pipeline.serving.payloads import MAXIMUM_EVENTS, Event, RecommendRequest

NAME_LENGTH = 60  # maximum length of a key that an error quotes
T = TypeVar("T")
_RECOMMEND = TypeAdapter(RecommendRequest)
_EVENT = TypeAdapter(Event)
_EVENTS = TypeAdapter(Annotated[list[Event], Field(min_length=1, max_length=MAXIMUM_EVENTS)])


@dataclass(frozen=True)
class RequestLimits:
    """Defaults and limits of params.yaml for requests."""

    default_k: int
    maximum_k: int
    explore_slots: int

    def resolve_k(self, k: int | None) -> int:
        """Return `k`, or `default_k` if it is None.

        Raises:
            RequestError: `k` is larger than `maximum_k`.
        """
        size = self.default_k if k is None else k
        if size > self.maximum_k:
            raise RequestError(
                f"'k' of at most {self.maximum_k}",
                received=f"{size}",
                action="Ask for fewer items.",
            )
        return size

    def resolve(self, request: RecommendRequest) -> tuple[int, int]:
        """Return k and the number of explore slots.

        Raises:
            RequestError: k is larger than `maximum_k`, or there are more explore slots than items.
        """
        k = self.resolve_k(request.k)
        explore = min(self.explore_slots, k)
        explore = explore if request.explore_slots is None else request.explore_slots
        if explore > k:
            raise RequestError(
                f"'explore_slots' of at most k = {k}",
                received=f"{explore}",
                action="Ask for fewer explore slots or more items.",
            )
        return k, explore


def parse_recommend(body: bytes) -> RecommendRequest:
    """Return the request in `body`.

    Raises:
        RequestError: The body is not JSON, or does not match `RecommendRequest`.
    """
    return parse(_RECOMMEND, body)


def parse_events(body: bytes) -> list[Event]:
    """Return the events in `body`, a JSON object or a list of objects.

    Raises:
        RequestError: The body is not JSON, or does not match `Event`.
    """
    return parse_one_or_more(_EVENT, _EVENTS, body)


def parse_one_or_more(one: TypeAdapter[T], more: TypeAdapter[list[T]], body: bytes) -> list[T]:
    """Return the objects in `body`, a JSON object or a list of objects.

    Raises:
        RequestError: The body is not JSON, or does not match the adapter.
    """
    if body.lstrip()[:1] == b"[":
        return parse(more, body)
    return [parse(one, body)]


def parse(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return the value in `body`.

    Raises:
        RequestError: The body is not JSON, or does not match the adapter.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise RequestError(
            "a JSON body as described in /docs.json",
            received=describe_errors(error),
            action="Correct these values and send it again.",
        ) from error


def describe_errors(error: ValidationError, *, limit: int = 5) -> str:
    """Return the first `limit` errors in one line, without echoing long input."""
    errors = [
        f"{'.'.join(str(part)[:NAME_LENGTH] for part in item['loc']) or 'body'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False)[:limit]
    ]
    more = error.error_count() - limit
    return "; ".join([*errors, f"and {more} more"] if more > 0 else errors)
