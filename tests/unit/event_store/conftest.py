"""Event stores in both kinds of database."""

from collections.abc import Iterator

import pytest

from pipeline.event_store.store import EventStore


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
