"""The BentoML service: one worker with the champion in memory.

    uv run bentoml serve pipeline.serving.service:Evergreen

Paths: the bundle is $EVERGREEN_BUNDLE, else `models/champion` in the working directory, else the
same inside the Bento; params.yaml is $EVERGREEN_PARAMS, else found likewise; the event store is
$EVERGREEN_EVENT_STORE, else `serving.event_store` of params.yaml. If $EVERGREEN_RELEASES names a
folder, the service follows the release pointer there; otherwise it keeps its bundle.

Design choices:

- One worker: recent events of all users are in its memory.
- BentoML's timer keeps every request in memory until its timeout, so that timeout must be short.
  The timeout of params.yaml is shorter and answers with the usual error format.
- The garbage collector runs rarely and ignores loaded objects: scanning the waiting predictions
  cost a tenth of the throughput, and 7 ms of the highest latencies with eight clients.
- BentoML's metrics are off: /metrics comes from this project, with a fixed set of label values.
- One thread for numpy and for the graph: a request is too small to be split.
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
    event_store_url,
)
from pipeline.serving.observability.logs import configure_logs, read_level
from pipeline.serving.security.audit import Audit

if TYPE_CHECKING:
    from pipeline.serving.releases.watch import Watcher

BACKSTOP_SECONDS = 3
GC_THRESHOLDS = (50_000, 20, 100)  # Python's default is 700, 10, 10

app = build_app()
slot = GatewaySlot()


async def routes(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass every path to the app, unknown ones too; BentoML would route only a Starlette app's."""
    await app(scope, receive, send)


def locate(variable: str, relative: Path) -> Path:
    """Return the path in the environment variable, else `relative` to here or to the Bento."""
    if os.environ.get(variable):
        return Path(os.environ[variable])
    return relative if relative.exists() else ROOT / relative


def load_backend(audit: Audit) -> tuple[Backend, "Watcher | None"]:
    """Load the champion; return the backend, and a watcher if a release pointer is followed.

    Args:
        audit: Audit log of every swap, refusal and stop.

    Raises:
        ParamsError: params.yaml is missing or invalid.
        BundleError: The bundle is missing or altered.
        StoreError: The event store cannot be opened.
    """
    quiet_imports()
    from pipeline.bundles.bundle import load_bundle
    from pipeline.event_store.store import EventStore
    from pipeline.serving.engine.engine import RecommendationEngine
    from pipeline.serving.releases.store import build_release_store
    from pipeline.serving.releases.watch import Watcher, load_first_bundle, log_event

    def notify(event: str, facts: Mapping[str, str]) -> None:
        log_event(event, facts)
        audit.write(event, **facts)

    params = read_serving_params()
    deployed = locate(BUNDLE, CHAMPION.path)
    followed = build_release_store(os.environ.get(RELEASES_FOLDER), deployed)
    bundle = load_first_bundle(followed, load_bundle, notify) if followed else load_bundle(deployed)
    store = EventStore(event_store_url(os.environ, params.event_store))
    backend = Backend(RecommendationEngine(bundle, store, params), params, read_currency())
    if followed is None:
        return backend, None
    watcher = Watcher(
        backend.releases, store, params, release_store=followed, load=load_bundle, notify=notify
    )
    return backend, watcher


def read_serving_params() -> ServingParams:
    """Return section `serving` of params.yaml.

    Raises:
        ParamsError: params.yaml is missing or invalid.
    """
    return read_params(locate(PARAMS, PARAMS_PATH)).serving


def read_currency() -> str:
    """Return the ISO 4217 code of the shop's prices.

    Raises:
        ParamsError: params.yaml is missing or invalid.
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
        params = read_serving_params()
        configure_logs(params.log_format, read_level(os.environ, params.log_level))
        resources = GatewayResources(params)
        app.state.backend, self._watcher = load_backend(resources.audit)
        app.state.resources = slot.resources = resources
        release_memory()
        gc.set_threshold(*GC_THRESHOLDS)
        if self._watcher is not None:
            self._watcher.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write waiting predictions and release the resources."""
        if self._watcher is not None:
            self._watcher.stop()
        backend, app.state.backend = app.state.backend, None
        if backend is not None:
            backend.close()
        resources, slot.resources = slot.resources, None
        if resources is not None:
            resources.close()


# The decorator replaces the class by a service, which mypy cannot see.
Evergreen.add_asgi_middleware(GatewayMiddleware, slot=slot)  # type: ignore[attr-defined]
