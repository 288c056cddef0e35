"""Event stores in both kinds of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.event_store.store import EventStore


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new' / 'events.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture
def store(url: str) -> Iterator[EventStore]:
    opened = EventStore(url, lock_seconds=0.05)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[EventStore]:
    opened = EventStore(sqlite_url, lock_seconds=0.05)
    yield opened
    opened.close()
