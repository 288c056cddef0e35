"""The service on a store in a temporary folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.client import Client
from pipeline.serving.engine.engine import RecommendationEngine
from tests.support.fake_bundle import FakeBundle, serving_params
from tests.support.served import Http, open_http


@pytest.fixture
def bundle() -> FakeBundle:
    return FakeBundle()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def start(bundle: FakeBundle, path: Path) -> Iterator[Callable[..., Http]]:
    """Start the app on the store at `path`, or at another URL; called again, it is a restart."""
    backends: list[Backend] = []

    def started(url: str = f"sqlite:///{path}", **changes: Any) -> Http:
        params = serving_params(**changes)
        store = EventStore(url, lock_seconds=0.05)
        backend = Backend(RecommendationEngine(bundle, store, params), params)
        backends.append(backend)
        app = build_app()
        app.state.backend = backend
        return open_http(app)

    yield started
    for backend in backends:
        backend.close()


@pytest.fixture
def http(start: Callable[..., Http]) -> Http:
    return start()


@pytest.fixture
def client(http: Http) -> Iterator[Client]:
    """The client on the app's transport."""
    with Client("http://testserver", transport=http._transport) as client:
        yield client
