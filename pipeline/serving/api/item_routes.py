"""The routes beside /recommend and /events: many shoppers, like items, why, and availability.

They work on a thread of their own, so that who asks for one shelf does not wait in line behind
them. A batch is answered in parts, each sent as soon as it is there: no time limit but the
client's, and no more memory for a thousand shoppers than for a few. If it fails on the way the
JSON is cut short and the connection closed, so that half an answer is never taken for a whole one.
"""

from collections.abc import AsyncIterator

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pipeline.contracts.errors import RequestError
from pipeline.serving.api.backend import KIB, Backend, backend_of, read_body
from pipeline.serving.engine.batch import (
    BatchRequest,
    UserAnswer,
    answer_part,
    parse_batch,
    parts_of,
)
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.engine.similar import SimilarQuery
from pipeline.serving.payloads import describe
from pipeline.serving.reranking.availability import parse_availability

JSON = "application/json"
BATCH_BODY_KIB = 256  # a thousand of the longest ids


def item_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/recommend_batch", _recommend_batch, methods=["POST"]),
        Route("/similar/{item_id:path}", _similar, methods=["GET"]),
        Route("/explain/{request_id:path}", _explain, methods=["GET"]),
        Route("/availability", _availability, methods=["POST"]),
    ]


async def _recommend_batch(request: Request) -> Response:
    """Answer many shoppers."""
    backend = backend_of(request)
    batch = parse_batch(await read_body(request, BATCH_BODY_KIB * KIB))
    shelf = backend.shelf  # one model for all of them, whatever is promoted meanwhile
    parts = answers_in_parts(backend, shelf, batch)
    first = await anext(parts)  # what is wrong with the request is told before the answer
    return StreamingResponse(_joined(shelf.version, first, parts), media_type=JSON)


async def _similar(request: Request) -> Response:
    """Answer with items like one."""
    backend = backend_of(request)
    item_id, query = request.path_params["item_id"], similar_query(request)
    return json_of(await backend.aside(lambda: backend.shelf.similar(item_id, query)))


async def _explain(request: Request) -> Response:
    """Answer with what was shown and why."""
    backend = backend_of(request)
    request_id = request.path_params["request_id"]
    return json_of(await backend.aside(lambda: backend.shelf.explanation(request_id)))


async def _availability(request: Request) -> Response:
    """Take in which items can be bought."""
    backend = backend_of(request)
    changes = parse_availability(await read_body(request, backend.maximum_body))
    return json_of(await backend.write(lambda: backend.releases.set_availability(changes)))


async def answers_in_parts(
    backend: Backend, shelf: RecommendationEngine, batch: BatchRequest
) -> AsyncIterator[list[UserAnswer]]:
    """Yield the answers of a batch, some at a time."""
    for queries in parts_of(batch):
        yield await backend.aside(
            lambda queries=queries: answer_part(  # type: ignore[misc]
                shelf, queries, reasons=batch.reasons, shown=batch.shown
            )
        )


async def _joined(
    version: str, first: list[UserAnswer], rest: AsyncIterator[list[UserAnswer]]
) -> AsyncIterator[str]:
    """Yield the pieces of one JSON `BatchAnswer`."""
    yield f'{{"model_version":"{version}","answers":[{_listed(first)}'
    async for part in rest:
        yield f",{_listed(part)}"
    yield "]}"


def _listed(answers: list[UserAnswer]) -> str:
    return ",".join(answer.model_dump_json(exclude_none=True) for answer in answers)


def similar_query(request: Request) -> SimilarQuery:
    """Return what stands behind the question mark.

    Raises:
        RequestError: It is not what was wanted.
    """
    try:
        return SimilarQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestError(
            "a query as described in /docs.json",
            received=describe(error),
            action="Correct these values and send it again.",
        ) from error


def json_of(value: BaseModel) -> Response:
    """Return a JSON answer."""
    return Response(value.model_dump_json(exclude_none=True), media_type=JSON)
