"""The BentoML service: one worker with the champion in memory.

    bentoml serve pipeline.serving.service:Evergreen

Where it finds things: the bundle in $EVERGREEN_BUNDLE, else `models/champion` in the working
directory, else the same inside the Bento; params.yaml in $EVERGREEN_PARAMS, else likewise; the
event store in $EVERGREEN_EVENT_STORE, else `serving.event_store` of params.yaml.

Design choices (measured in the project's FACTS):

- One worker: what shoppers did a second ago is in its memory.
- BentoML's timer keeps every request's memory until its timeout, so that must be short. Ours, of
  params.yaml, answers earlier and in the same form as every error; BentoML's is the backstop.
- All that is loaded is frozen out of the garbage collector: no full collection walks it again.
- One thread for numpy and for the graph: a request is too small to be worth splitting.
"""

import gc
import logging
import os
from pathlib import Path

import bentoml

from pipeline.artefacts import CHAMPION
from pipeline.deployment.process import BUNDLE, ENVIRONMENT, PARAMS, ROOT, store_of
from pipeline.params import PARAMS_PATH, read_params
from pipeline.serving.app import Backend, build_app

BACKSTOP_SECONDS = 3

app = build_app()


def locate(variable: str, relative: Path) -> Path:
    """Return the path in the environment variable, else `relative` here or in the Bento."""
    if os.environ.get(variable):
        return Path(os.environ[variable])
    return relative if relative.exists() else ROOT / relative


def load_backend() -> Backend:
    """Return the champion, ready to answer.

    Raises:
        ParamsError: params.yaml is missing or wrong.
        BundleError: The bundle is missing or altered.
        StoreError: The event store cannot be opened.
    """
    from pipeline.deployment.bundle import load_bundle
    from pipeline.event_store.store import EventStore
    from pipeline.shelf.shelf import Shelf

    params = read_params(locate(PARAMS, PARAMS_PATH)).serving
    bundle = load_bundle(locate(BUNDLE, CHAMPION.path))
    store = EventStore(store_of(os.environ, params.event_store))
    return Backend(Shelf(bundle, store, params), params)


@bentoml.asgi_app(app, path="/")
@bentoml.service(
    name="evergreen",
    workers=1,
    traffic={"timeout": BACKSTOP_SECONDS},
    logging={"access": {"enabled": False}},
    metrics={"enabled": True},
    envs=[{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
)
class Evergreen:
    """Recommends the products of a shopper's next basket."""

    def __init__(self) -> None:
        """Load the champion."""
        logging.getLogger("evergreen").setLevel(logging.INFO)
        app.state.backend = load_backend()
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write what waits."""
        backend, app.state.backend = app.state.backend, None
        if backend is not None:
            backend.close()
