"""Many shoppers at once: what goes over the wire, and the parts that the model answers in one call.

A part is small, so that whoever asks for one shelf meanwhile does not wait for a thousand.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pydantic import ConfigDict, Field, TypeAdapter

from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import (
    Id,
    Payload,
    RecommendAnswer,
    RecommendedItem,
    RecommendOptions,
    RecommendRequest,
    parse,
)

MAXIMUM_USERS = 1_000
PART = 4


class BatchRequest(RecommendOptions):
    """Body of POST /recommend_batch."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_ids": ["2375", "1364"], "k": 5}]}
    )

    user_ids: list[Id] = Field(min_length=1, max_length=MAXIMUM_USERS)
    reasons: bool = Field(
        default=False, description="Whether the items carry reasons; it takes longer."
    )
    shown: bool = Field(
        default=False, description="Whether the answers are logged as shown to the shoppers."
    )


class UserAnswer(Payload):
    """The answer for one shopper of a batch."""

    user_id: str
    request_id: str = Field(description="Known to /explain if the batch was logged as shown.")
    items: list[RecommendedItem]


class BatchAnswer(Payload):
    """Answer to POST /recommend_batch: one answer per shopper, in the order of the request."""

    model_version: str
    answers: list[UserAnswer]


_BATCH = TypeAdapter(BatchRequest)


def parse_batch(body: bytes) -> BatchRequest:
    """Return the request in `body`.

    Raises:
        RequestError: It is not JSON, or not such a request.
    """
    return parse(_BATCH, body)


def parts_of(batch: BatchRequest) -> Iterator[list[RecommendRequest]]:
    """Yield the requests of a batch, PART at a time."""
    settings = batch.model_dump(exclude={"user_ids", "reasons", "shown"})
    for start in range(0, len(batch.user_ids), PART):
        yield [
            RecommendRequest.model_construct(user_id=user_id, **settings)
            for user_id in batch.user_ids[start : start + PART]
        ]


def answer_part(
    shelf: RecommendationEngine, queries: Sequence[RecommendRequest], *, reasons: bool, shown: bool
) -> list[UserAnswer]:
    """Return the answers to several requests, by one call of the model.

    Args:
        shelf: Answers.
        queries: At least one.
        reasons: Whether the items carry reasons.
        shown: Whether the answers are counted and logged as shown.

    Raises:
        RequestError: They ask for more than params.yaml allows.
    """
    received_at, started = datetime.now(UTC), time.perf_counter()
    answering, blocked = shelf.answering, shelf.availability.blocked
    now = received_at.timestamp()
    asked = [answering.ask(shelf.anonymous(query), now, blocked) for query in queries]
    request_ids = [uuid.uuid4().hex for _ in asked]
    shelves = answering.shelves(asked, request_ids, explain=reasons)
    answers = [
        RecommendAnswer.model_construct(
            request_id=request_id,
            model_version=answering.version,
            items=answering.items(each, shelves, row),
        )
        for row, (each, request_id) in enumerate(zip(asked, request_ids, strict=True))
    ]
    if shown:
        latency_ms = (time.perf_counter() - started) * 1e3
        for each, answer in zip(asked, answers, strict=True):
            shelf.shown(each, answer, received_at, latency_ms=latency_ms)
    return [
        UserAnswer.model_construct(
            user_id=query.user_id, request_id=answer.request_id, items=answer.items
        )
        for query, answer in zip(queries, answers, strict=True)
    ]
