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


def after_events(
    service: str, users: Sequence[str], items: Sequence[str], *, n: int, pause_seconds: float
) -> Latency:
    """Return the latency of answers that are asked for a moment after the shopper did something.

    Args:
        service: Its address.
        users: Who; each looks at an item, and the next page asks what to recommend.
        items: What is looked at.
        n: How many pages.
        pause_seconds: From the answer to the event to the next page.

    Raises:
        ConnectionError: The service closed a connection without an answer.
    """
    return asyncio.run(_pages(service, users, items, n, pause_seconds))


async def _pages(
    service: str, users: Sequence[str], items: Sequence[str], n: int, pause_seconds: float
) -> Latency:
    parts = urlsplit(service)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    taken: list[float] = []
    n_failed = 0
    began = time.perf_counter()
    for page in range(n):
        user, item = users[page % len(users)], items[page % len(items)]
        event = {"user_id": user, "item_id": item, "event_type": "view"}
        writer.write(_packed(f"{service}/events", event))
        n_failed += not await _answer(reader)
        await asyncio.sleep(pause_seconds)
        start = time.perf_counter()
        writer.write(_packed(f"{service}/recommend", {"user_id": user}))
        n_failed += not await _answer(reader)
        taken.append((time.perf_counter() - start) * 1e3)
    writer.close()
    await writer.wait_closed()
    return _latency(taken, n_failed, time.perf_counter() - began)


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
    return _latency(taken, len(failed), passed)


def _latency(taken: Sequence[float], n_failed: int, seconds: float) -> Latency:
    return Latency(
        n=len(taken),
        n_failed=n_failed,
        requests_per_second=round(len(taken) / seconds, 1),
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
        message = "expected an answer with a Content-Length, got the end of the connection"
        raise ConnectionError(message) from error
    return lines[0].split()[1].startswith("2")
