"""The whole endpoint on the fake bundle, but for BentoML: gateway, routes, engine, store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.api.middleware import GatewayMiddleware, GatewayResources, GatewaySlot
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.observability.tracing import Tracing
from pipeline.serving.security.keys import create_key
from tests.support.fake_bundle import FakeBundle, serving_params
from tests.support.served import Direct

# Python runs this at start, so that a service process loads the fake bundle without TensorFlow.
FAKE = """
import sys, types
module = types.ModuleType("pipeline.bundles.bundle")
def load_bundle(path):
    from tests.support.fake_bundle import FakeBundle
    if not path.is_dir():
        raise RuntimeError(f"no bundle at {path}")
    return FakeBundle()
module.load_bundle = load_bundle
module.verify_bundle = lambda path: {"version": "0123456789ab"}
sys.modules["pipeline.bundles.bundle"] = module
"""


@dataclass
class FakeService:
    """An endpoint in a folder; call `close` at the end."""

    folder: Path
    bundle: FakeBundle
    slot: GatewaySlot
    gateway: GatewayMiddleware
    backend: Backend

    def http(self, *, key: str | None = None, **headers: str) -> httpx.Client:
        """Return a client, with a new key if scopes are given."""
        if key is not None:
            name = key.replace(",", "-")
            token = create_key(self.folder / "keys.json", name, tuple(key.split(",")))  # type: ignore[arg-type]
            assert self.slot.resources is not None
            self.slot.resources.keys.reload()
            headers["authorization"] = f"Bearer {token}"
        return httpx.Client(
            transport=Direct(self.gateway), base_url="http://localhost", headers=headers
        )

    async def local(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint as if it listened on loopback, for clients that make another name up."""
        headers = [pair for pair in scope["headers"] if pair[0] != b"host"]
        named = {"server": ("127.0.0.1", 3000), "headers": [*headers, (b"host", b"127.0.0.1:3000")]}
        await self.gateway({**scope, **named}, receive, send)

    def close(self) -> None:
        self.backend.close()


def fake_service(folder: Path, *, tracing: Tracing | None = None, **changes: Any) -> FakeService:
    """Return an endpoint whose files are all in `folder`."""
    files = {"keys": f"{folder}/keys.json", "audit_log": f"{folder}/audit.jsonl"}
    params = serving_params(**{**files, **changes})
    bundle = FakeBundle()
    store = EventStore(f"sqlite:///{folder}/events.db", lock_seconds=0.05)
    served: Any = bundle
    backend = Backend(RecommendationEngine(served, store, params), params)
    app = build_app()
    app.state.backend = backend
    slot = GatewaySlot()
    slot.resources = app.state.resources = GatewayResources(params, tracing=tracing)
    return FakeService(folder, bundle, slot, GatewayMiddleware(app, slot), backend)
