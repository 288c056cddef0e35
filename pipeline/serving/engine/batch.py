"""Batch recommendations: payloads, and small batches that the model answers in one call each.

A batch is split into small parts so that single requests do not wait for a thousand users.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pydantic import ConfigDict, Field, TypeAdapter

from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.parsing import parse
from pipeline.serving.payloads import (
    Id,
    Payload,
    RecommendAnswer,
    RecommendedItem,
    RecommendOptions,
    RecommendRequest,
)

MAXIMUM_USERS = 1_000
PART_SIZE = 4


class BatchRequest(RecommendOptions):
    """Body of POST /recommend_batch."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_ids": ["2375", "1364"], "k": 5}]}
    )

    user_ids: list[Id] = Field(min_length=1, max_length=MAXIMUM_USERS)
    reasons: bool = Field(default=False, description="Whether items carry reasons; slower.")
    shown: bool = Field(default=False, description="Whether the answers are logged as shown.")


class UserAnswer(Payload):
    """The answer for one user of a batch."""

    user_id: str
    request_id: str = Field(description="/explain finds it if the batch was logged as shown.")
    items: list[RecommendedItem]


class BatchAnswer(Payload):
    """Answer to POST /recommend_batch: one answer per user, in the order of the request."""

    model_version: str
    answers: list[UserAnswer]


_BATCH = TypeAdapter(BatchRequest)


def parse_batch(body: bytes) -> BatchRequest:
    """Return the request in `body`.

    Raises:
        RequestError: The body is not JSON, or does not match `BatchRequest`.
    """
    return parse(_BATCH, body)


def split_batch(batch: BatchRequest) -> Iterator[list[RecommendRequest]]:
    """Yield the requests of a batch, PART_SIZE at a time."""
    options = batch.model_dump(exclude={"user_ids", "reasons", "shown"})
    for start in range(0, len(batch.user_ids), PART_SIZE):
        yield [
            RecommendRequest.model_construct(user_id=user_id, **options)
            for user_id in batch.user_ids[start : start + PART_SIZE]
        ]


def answer_part(
    engine: RecommendationEngine, queries: Sequence[RecommendRequest], *, reasons: bool, shown: bool
) -> list[UserAnswer]:
    """Return the answers to several requests, from one call of the model.

    Args:
        engine: Engine that answers.
        queries: [n] requests, n at least 1.
        reasons: Whether items carry reasons.
        shown: Whether answers are counted and logged as shown.

    Raises:
        RequestError: A request exceeds a limit of params.yaml.
    """
    received_at, started = datetime.now(UTC), time.perf_counter()
    runtime, blocked = engine.runtime, engine.availability.blocked
    now = received_at.timestamp()
    prepared = [runtime.prepare(engine.anonymize(query), now, blocked) for query in queries]
    request_ids = [uuid.uuid4().hex for _ in prepared]
    lists = runtime.rank_batch(prepared, request_ids, explain=reasons)
    answers = [
        RecommendAnswer.model_construct(
            request_id=request_id,
            model_version=runtime.version,
            items=runtime.build_items(request, lists, row),
        )
        for row, (request, request_id) in enumerate(zip(prepared, request_ids, strict=True))
    ]
    if shown:
        latency_ms = (time.perf_counter() - started) * 1e3
        for request, answer in zip(prepared, answers, strict=True):
            engine.record_answer(request, answer, received_at, latency_ms=latency_ms)
    return [
        UserAnswer.model_construct(
            user_id=query.user_id, request_id=answer.request_id, items=answer.items
        )
        for query, answer in zip(queries, answers, strict=True)
    ]
