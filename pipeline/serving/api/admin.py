"""Routes under /admin/ for operators: audited, and open to keys with the scope `admin` only."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.serving.security.keys import KeyFileError


def admin_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/admin/model", _model, methods=["GET"]),
        Route("/admin/keys/reload", _reload_keys, methods=["POST"]),
    ]


async def _model(request: Request) -> Response:
    backend = request.app.state.backend
    if backend is None:
        raise HTTPException(503)
    engine = backend.engine
    return JSONResponse({"version": engine.version, "name": engine.model_name})


async def _reload_keys(request: Request) -> Response:
    resources = request.app.state.resources
    if resources is None:
        raise HTTPException(503)
    try:
        return JSONResponse({"keys": resources.keys.reload()})
    except KeyFileError as error:
        problem = {"wanted": error.expected, "received": error.received, "action": error.action}
        return JSONResponse({"error": problem}, status_code=409)
