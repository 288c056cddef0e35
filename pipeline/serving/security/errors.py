"""The errors of requests that are denied before their route, and their answers."""

import json

from starlette.types import Send

from pipeline.contracts.errors import EvergreenError


class AccessError(EvergreenError):
    """A request is denied.

    Attributes:
        status: HTTP status of the answer.
        reason: A short label for the metrics and the audit log.
        headers: Additional headers of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        expected: str,
        *,
        received: str,
        action: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        """Store the parts of the message and of the answer."""
        super().__init__(expected, received=received, action=action)
        self.status = status
        self.reason = reason
        self.headers = headers

    def body(self) -> bytes:
        """Return the body of the answer, in the JSON form of every error."""
        error = {"wanted": self.expected, "received": self.received, "action": self.action}
        return json.dumps({"error": error}).encode()


async def send_error(error: AccessError, send: Send) -> None:
    """Send the answer to a denied request."""
    body = error.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *error.headers,
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def build_key_error(received: str) -> AccessError:
    """Return the error of a request without a valid key."""
    return AccessError(
        401,
        "key",
        "a valid key in the header 'Authorization: Bearer …'",
        received=received,
        action="Ask the operator of the service for one: "
        "`uv run python -m pipeline.serving key create --scopes recommend,events`.",
        headers=((b"www-authenticate", b"Bearer"),),
    )


def build_scope_error(scope: str, scopes: str) -> AccessError:
    """Return the error of a key that lacks the scope of a route."""
    return AccessError(
        403,
        "scope",
        f"a key with the scope '{scope}'",
        received=f"one with {scopes}",
        action="Use another key.",
    )


def build_rate_error(reason: str, seconds: int) -> AccessError:
    """Return the error of a caller above its rate limit.

    Args:
        reason: Label for the metrics and the audit log.
        seconds: Wait until the next allowed request.
    """
    return AccessError(
        429,
        reason,
        "fewer requests",
        received="more than serving's limit per second in params.yaml",
        action=f"Try again in {seconds} s.",
        headers=((b"retry-after", str(seconds).encode()),),
    )


def build_remote_error(received: str) -> AccessError:
    """Return the error of a request from another machine to a service without keys."""
    return AccessError(
        403,
        "place",
        "a request from this machine, because the service has no keys",
        received=received,
        action="To allow requests from other machines, create a key: "
        "`uv run python -m pipeline.serving key create --scopes recommend,events`.",
    )


def build_origin_error(origin: str) -> AccessError:
    """Return the error of a request from a web page of an origin that is not listed."""
    return AccessError(
        403,
        "origin",
        "a page of this service, or an origin in serving.cors_origins",
        received=f"the origin {origin[:200]}",
        action="To allow it, add it to serving.cors_origins in params.yaml.",
    )


def build_size_error(status: int, what: str, size: int, maximum: int) -> AccessError:
    """Return the error of a path or headers that are too long."""
    return AccessError(
        status,
        "size",
        f"{what} of at most {maximum} bytes",
        received=f"{size}",
        action="Send a shorter request.",
    )


def build_path_error() -> AccessError:
    """Return the error of a path with a line break, which no route has."""
    return AccessError(
        404,
        "path",
        "a path without a line break",
        received="one with %0A",
        action="Correct the id in the path.",
    )


def build_host_error(n: int) -> AccessError:
    """Return the error of a request without exactly one Host header (RFC 9112, 3.2)."""
    return AccessError(
        400,
        "host",
        "exactly one Host header",
        received=str(n),
        action="Send one Host header.",
    )
