"""What the endpoint is compared with: the same request, answered with nothing.

`Empty` is a BentoML endpoint as its documentation writes it, `starlette_app` the least that an
asynchronous Python service can do.
"""

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@bentoml.service(name="empty", workers=1)
class Empty:
    """Answers at once."""

    @bentoml.api(route="/recommend")  # type: ignore[untyped-decorator]
    async def recommend(self, user_id: str) -> dict[str, str]:
        """Return what came."""
        return {"user_id": user_id}


async def _recommend(request: Request) -> JSONResponse:
    return JSONResponse(await request.json())


starlette_app = Starlette(routes=[Route("/recommend", _recommend, methods=["POST"])])
