"""The BentoML service: one worker with the champion in memory.

    uv run bentoml serve pipeline.serving.service:Evergreen

Where it finds things: the bundle in $EVERGREEN_BUNDLE, else `models/champion` in the working
directory, else the same inside the Bento; params.yaml in $EVERGREEN_PARAMS, else likewise; the
event store in $EVERGREEN_EVENT_STORE, else `serving.event_store` of params.yaml. With a folder in
$EVERGREEN_RELEASES it follows the pointer there, else it keeps to its bundle.

Design choices (measured in the project's FACTS):

- One worker: what shoppers did a second ago is in its memory.
- BentoML's timer keeps every request's memory until its timeout, so that must be short. Ours, of
  params.yaml, answers earlier and in the same form as every error; BentoML's is the backstop.
- The garbage collector looks rarely, and not at all at what was loaded: what waits to be logged is
  no garbage, and looking at it again and again took a tenth of the answers per second and put 7 ms
  on the slowest with eight clients.
- BentoML's metrics are off: /metrics is ours, with labels that nobody can add to from outside.
- One thread for numpy and for the graph: a request is too small to be worth splitting.
"""

import gc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import bentoml
from starlette.types import Receive, Scope, Send

from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import PARAMS_PATH, ServingParams, read_params
from pipeline.runtime.memory import release_memory
from pipeline.runtime.quiet import quiet_imports
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.api.middleware import GatewayMiddleware, GatewayResources, GatewaySlot
from pipeline.serving.environment import (
    BUNDLE,
    ENVIRONMENT,
    PARAMS,
    RELEASES_FOLDER,
    ROOT,
    store_of,
)
from pipeline.serving.observability.logs import configure_logs, level_of
from pipeline.serving.security.audit import Audit

if TYPE_CHECKING:
    from pipeline.serving.releases.watch import Watcher

BACKSTOP_SECONDS = 3
RARE = (50_000, 20, 100)  # new objects before the garbage collector looks; 700, 10, 10 else

SERVICE = f"{__name__}:Evergreen"
"""What `bentoml serve` is asked for."""

app = build_app()
place = GatewaySlot()


async def routes(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every path, unknown ones too: BentoML would ask a Starlette app for its routes."""
    await app(scope, receive, send)


def locate(variable: str, relative: Path) -> Path:
    """Return the path in the environment variable, else `relative` here or in the Bento."""
    if os.environ.get(variable):
        return Path(os.environ[variable])
    return relative if relative.exists() else ROOT / relative


def load_backend(audit: Audit) -> tuple[Backend, "Watcher | None"]:
    """Return the champion, ready to answer, and what will follow the pointer if there is one.

    Args:
        audit: Is told of every swap, refusal and stop.

    Raises:
        ParamsError: params.yaml is missing or wrong.
        BundleError: The bundle is missing or altered.
        StoreError: The event store cannot be opened.
    """
    quiet_imports()
    from pipeline.bundles.bundle import load_bundle
    from pipeline.event_store.store import EventStore
    from pipeline.serving.engine.engine import RecommendationEngine
    from pipeline.serving.releases.store import release_store
    from pipeline.serving.releases.watch import Watcher, announce, first_bundle

    def tell(event: str, facts: Mapping[str, str]) -> None:
        announce(event, facts)
        audit.write(event, **facts)

    params = serving_params()
    deployed = locate(BUNDLE, CHAMPION.path)
    followed = release_store(os.environ.get(RELEASES_FOLDER), deployed)
    bundle = first_bundle(followed, load_bundle, tell) if followed else load_bundle(deployed)
    store = EventStore(store_of(os.environ, params.event_store))
    backend = Backend(RecommendationEngine(bundle, store, params), params, currency())
    if followed is None:
        return backend, None
    watcher = Watcher(backend.releases, store, params, place=followed, load=load_bundle, tell=tell)
    return backend, watcher


def serving_params() -> ServingParams:
    """Return the section of params.yaml.

    Raises:
        ParamsError: params.yaml is missing or wrong.
    """
    return read_params(locate(PARAMS, PARAMS_PATH)).serving


def currency() -> str:
    """Return the currency of the shop's prices.

    Raises:
        ParamsError: params.yaml is missing or wrong.
    """
    return read_params(locate(PARAMS, PARAMS_PATH)).shop.currency


@bentoml.asgi_app(routes, path="/")
@bentoml.service(
    name="evergreen",
    workers=1,
    traffic={"timeout": BACKSTOP_SECONDS},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": [".*"]},
    envs=[{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
)
class Evergreen:
    """Recommends the products of a shopper's next basket."""

    _watcher: "Watcher | None" = None

    def __init__(self) -> None:
        """Load the champion."""
        params = serving_params()
        configure_logs(params.log_format, level_of(os.environ, params.log_level))
        desk = GatewayResources(params)
        app.state.backend, self._watcher = load_backend(desk.audit)
        app.state.desk = place.desk = desk
        release_memory()
        gc.set_threshold(*RARE)
        if self._watcher is not None:
            self._watcher.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write what waits."""
        if self._watcher is not None:
            self._watcher.stop()
        backend, app.state.backend = app.state.backend, None
        if backend is not None:
            backend.close()
        desk, place.desk = place.desk, None
        if desk is not None:
            desk.close()


# The decorator made a service of the class, which mypy cannot see.
Evergreen.add_asgi_middleware(GatewayMiddleware, place=place)  # type: ignore[attr-defined]
