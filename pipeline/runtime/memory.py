"""Memory after something large was loaded."""

import ctypes
import gc

import pyarrow as pa


def release_memory() -> None:
    """Give back what loading needed, and let the collector leave alone what was loaded.

    The allocators of Arrow and of the C library keep for later what is freed: a quarter of the
    memory of an endpoint that was just started. What is alive is frozen out of the garbage
    collector's sight: no full collection walks it again.
    """
    gc.collect()
    gc.freeze()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others need it not
    if trim is not None:
        trim(0)
