"""Release of unused memory."""

import ctypes
import gc

import pyarrow as pa


def release_memory() -> None:
    """Return freed memory to the system, and exclude live objects from garbage collection.

    The allocators of Arrow and of the C library keep freed memory: a quarter of the memory of a
    newly started endpoint. `gc.freeze` makes full collections skip the objects that are alive now.
    """
    gc.collect()
    gc.freeze()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
