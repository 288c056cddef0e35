"""Memory that loading needed is returned to the system."""

import ctypes
import gc
from collections.abc import Iterator

import psutil
import pytest

from pipeline.runtime.memory import release_memory

MIB = 2**20


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not the GNU C library")
def test_what_was_freed_between_what_is_kept_is_given_back() -> None:
    many = [bytearray(8_000) for _ in range(16_000)]
    kept = many[::100]
    many.clear()
    before = psutil.Process().memory_info().rss
    release_memory()
    after = psutil.Process().memory_info().rss
    assert before - after > 64 * MIB
    assert len(kept) == 160


def test_the_collector_leaves_alone_what_is_there() -> None:
    before = gc.get_freeze_count()
    objects = [[] for _ in range(1_000)]  # type: ignore[var-annotated]
    release_memory()
    assert gc.get_freeze_count() > before + len(objects)
