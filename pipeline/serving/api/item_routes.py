"""Routes for batches, similar items, explanations and availability.

They run on a background thread, so that /recommend does not wait for them. A batch is answered in
parts, each sent when it is ready: only the client's timeout applies, and memory does not grow with
the number of users. If a batch fails midway, the JSON ends early and the connection is closed, so
that no client takes a partial answer for a complete one.
"""

from collections.abc import AsyncIterator

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pipeline.contracts.errors import RequestError
from pipeline.serving.api.backend import KIB, Backend, get_backend, read_body
from pipeline.serving.engine.batch import (
    BatchRequest,
    UserAnswer,
    answer_part,
    parse_batch,
    split_batch,
)
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.engine.similar import SimilarQuery
from pipeline.serving.parsing import describe_errors
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
    """Recommend items to many users."""
    backend = get_backend(request)
    batch = parse_batch(await read_body(request, BATCH_BODY_KIB * KIB))
    engine = backend.engine  # one model for the whole batch, even if another is promoted
    parts = stream_answers(backend, engine, batch)
    first = await anext(parts)  # errors in the request are raised before the answer starts
    return StreamingResponse(_stream_json(engine.version, first, parts), media_type=JSON)


async def _similar(request: Request) -> Response:
    """Return items similar to one."""
    backend = get_backend(request)
    item_id, query = request.path_params["item_id"], parse_similar_query(request)
    return json_response(
        await backend.run_in_background(lambda: backend.engine.find_similar(item_id, query))
    )


async def _explain(request: Request) -> Response:
    """Return a logged answer with its reasons."""
    backend = get_backend(request)
    request_id = request.path_params["request_id"]
    return json_response(
        await backend.run_in_background(lambda: backend.engine.explain(request_id))
    )


async def _availability(request: Request) -> Response:
    """Change the availability of items."""
    backend = get_backend(request)
    changes = parse_availability(await read_body(request, backend.maximum_body_bytes))
    return json_response(
        await backend.run_write(lambda: backend.releases.set_availability(changes))
    )


async def stream_answers(
    backend: Backend, engine: RecommendationEngine, batch: BatchRequest
) -> AsyncIterator[list[UserAnswer]]:
    """Yield the answers of a batch, PART_SIZE at a time."""
    for queries in split_batch(batch):
        yield await backend.run_in_background(
            lambda queries=queries: answer_part(  # type: ignore[misc]
                engine, queries, reasons=batch.reasons, shown=batch.shown
            )
        )


async def _stream_json(
    version: str, first: list[UserAnswer], rest: AsyncIterator[list[UserAnswer]]
) -> AsyncIterator[str]:
    """Yield the pieces of one JSON `BatchAnswer`."""
    yield f'{{"model_version":"{version}","answers":[{_join_json(first)}'
    async for part in rest:
        yield f",{_join_json(part)}"
    yield "]}"


def _join_json(answers: list[UserAnswer]) -> str:
    return ",".join(answer.model_dump_json(exclude_none=True) for answer in answers)


def parse_similar_query(request: Request) -> SimilarQuery:
    """Return the query parameters of /similar.

    Raises:
        RequestError: The parameters do not match `SimilarQuery`.
    """
    try:
        return SimilarQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestError(
            "a query as described in /docs.json",
            received=describe_errors(error),
            action="Correct these values and send it again.",
        ) from error


def json_response(value: BaseModel) -> Response:
    """Return a JSON response."""
    return Response(value.model_dump_json(exclude_none=True), media_type=JSON)
