"""A service that follows a release store with the champion `old`, and bundles to release."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_releases import load_fake, write_fake
from tests.support.release_service import CanaryClock, ReleaseService


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> CanaryClock:
    """The clock that times canaries, so that the speed of the machine does not matter."""
    clock = CanaryClock()
    monkeypatch.setattr("pipeline.serving.releases.canary.time", clock)
    monkeypatch.setattr("tests.support.fake_releases.sleep", clock.sleep)
    return clock


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'events.db'}"


@pytest.fixture
def start_service(release_store: ReleaseStore, url: str) -> Iterator[Callable[..., ReleaseService]]:
    services: list[ReleaseService] = []

    def start(load: Any = load_fake) -> ReleaseService:
        services.append(ReleaseService(release_store, url, load))
        services[-1].watcher.poll()
        return services[-1]

    yield start
    for service in services:
        service.close()


@pytest.fixture
def service(start_service: Callable[..., ReleaseService]) -> ReleaseService:
    return start_service()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """Write a bundle, and return its folder."""

    def write(name: str, **behaviour: Any) -> str:
        write_fake(tmp_path / name, name, **behaviour)
        return str(tmp_path / name)

    return write


@pytest.fixture
def project(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseStore:
    """The working directory is a project with a champion, where commands and services meet."""
    for name in ("EVERGREEN_BUNDLE", "EVERGREEN_RELEASES", "EVERGREEN_EVENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    write_fake(shop_folder / "models" / "champion", "old")
    return ReleaseStore()
