"""HTTP helpers: the app with a recommender without TensorFlow, called without a socket."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from pipeline.event_store.store import EventStore, Prediction
from pipeline.serving.payloads import ErrorAnswer

Http = httpx.Client


class Direct(httpx.BaseTransport):
    """Calls the app without a socket."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            copy = httpx.Request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
            answer = await self._transport.handle_async_request(copy)
            content = await answer.aread()
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)

        return asyncio.run(ask())


def open_http(app: Starlette) -> Http:
    return Http(transport=Direct(app), base_url="http://testserver")


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def recommend(http: Http, user_id: str = "ann", **more: Any) -> httpx.Response:
    return http.post("/recommend", json={"user_id": user_id, "explore_slots": 0, **more})


def send(http: Http, *events: dict[str, Any]) -> httpx.Response:
    return http.post("/events", json=list(events))


def act(kind: str, item: str, user_id: str = "ann", **more: Any) -> dict[str, Any]:
    return {"user_id": user_id, "item_id": item, "event_type": kind, **more}


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    problem = ErrorAnswer.model_validate_json(answer.content).error
    assert "Traceback" not in answer.text
    assert problem.wanted
    assert problem.action


def predictions(path: Path, n: int) -> list[Prediction]:
    store = EventStore(f"sqlite:///{path}")
    until = time.monotonic() + 5
    while len(logged := store.predictions()) < n and time.monotonic() < until:
        time.sleep(0.02)
    store.close()
    return logged


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until a condition holds; return whether it did in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False
