"""Clients that each send the next request when the last is answered: latency by concurrency.

Plain sockets and one thread: an HTTP library would take longer than the endpoint.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import numpy as np

SEPARATOR = b"\r\n\r\n"


@dataclass(frozen=True)
class Latency:
    """What clients saw, in milliseconds.

    `n_failed` counts answers without status 2xx.
    """

    n: int
    n_failed: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    longest_ms: float


def closed_loop(
    url: str, bodies: Sequence[dict[str, Any]], *, concurrency: int, seconds: float
) -> Latency:
    """Return the latency of `concurrency` clients that ask all the time.

    Args:
        url: Of the route; POST.
        bodies: Taken in turn by all clients together.
        concurrency: How many clients.
        seconds: How long.

    Raises:
        ConnectionError: The service closed a connection without an answer.
    """
    return asyncio.run(_all(url, [_packed(url, body) for body in bodies], concurrency, seconds))


def _packed(url: str, body: dict[str, Any]) -> bytes:
    """Return a whole request as it goes over the wire."""
    parts, content = urlsplit(url), json.dumps(body).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _all(url: str, requests: list[bytes], concurrency: int, seconds: float) -> Latency:
    parts, number = urlsplit(url), count()
    taken: list[float] = []
    failed: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (start := time.perf_counter()) < until:
            writer.write(requests[next(number) % len(requests)])
            good = await _answer(reader)
            milliseconds = (time.perf_counter() - start) * 1e3
            taken.append(milliseconds)
            if not good:
                failed.append(milliseconds)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    passed = time.perf_counter() - began
    return Latency(
        n=len(taken),
        n_failed=len(failed),
        requests_per_second=round(len(taken) / passed, 1),
        p50_ms=round(float(np.percentile(taken, 50)), 3),
        p99_ms=round(float(np.percentile(taken, 99)), 3),
        longest_ms=round(max(taken), 1),
    )


async def _answer(reader: asyncio.StreamReader) -> bool:
    """Read one answer; return whether its status was 2xx."""
    try:
        head = await reader.readuntil(SEPARATOR)
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next(line for line in lines if line.startswith("content-length:"))
        await reader.readexactly(int(length.split(":")[1]))
    except (asyncio.IncompleteReadError, StopIteration) as error:
        message = "an answer with a Content-Length was wanted, and the connection ended"
        raise ConnectionError(message) from error
    return lines[0].split()[1].startswith("2")
