"""Why a request does not reach its route, and what it is answered."""

import json

from starlette.types import Send

from pipeline.contracts.errors import EvergreenError


class AccessError(EvergreenError):
    """A request that is not let in.

    Attributes:
        status: Of the answer.
        reason: One of few words, for the metrics and the audit log.
        headers: More headers of the answer.
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
        """Build the answer and the message."""
        super().__init__(expected, received=received, action=action)
        self.status = status
        self.reason = reason
        self.headers = headers

    def body(self) -> bytes:
        """Return the answer's body, of the form that every error has."""
        error = {"wanted": self.expected, "received": self.received, "action": self.action}
        return json.dumps({"error": error}).encode()


async def refuse(error: AccessError, send: Send) -> None:
    """Send the answer to a request that is not let in."""
    body = error.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *error.headers,
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def no_key(received: str) -> AccessError:
    """Return the refusal of a request without a valid key."""
    return AccessError(
        401,
        "key",
        "a valid key in the header 'Authorization: Bearer …'",
        received=received,
        action="Ask the service's keeper for one: "
        "`uv run python -m pipeline.serving key create --scopes recommend,events`.",
        headers=((b"www-authenticate", b"Bearer"),),
    )


def no_scope(scope: str, held: str) -> AccessError:
    """Return the refusal of a key that does not open this route."""
    return AccessError(
        403,
        "scope",
        f"a key with the scope '{scope}'",
        received=f"one with {held}",
        action="Use another key.",
    )


def too_often(reason: str, seconds: int) -> AccessError:
    """Return the refusal of a caller that asks too often."""
    return AccessError(
        429,
        reason,
        "fewer requests",
        received="more than serving's limit per second in params.yaml",
        action=f"Try again in {seconds} s.",
        headers=((b"retry-after", str(seconds).encode()),),
    )


def not_local(received: str) -> AccessError:
    """Return the refusal of a request from elsewhere to a service that has no keys."""
    return AccessError(
        403,
        "place",
        "a request from this machine, as this service has no keys",
        received=received,
        action="Make a key with "
        "`uv run python -m pipeline.serving key create --scopes recommend,events`; "
        "then all may ask with it.",
    )


def foreign_page(origin: str) -> AccessError:
    """Return the refusal of a web page that this service did not send and that is not listed."""
    return AccessError(
        403,
        "origin",
        "a page of this service, or one of serving.cors_origins",
        received=f"the origin {origin[:200]}",
        action="Add it to serving.cors_origins in params.yaml if it may ask.",
    )


def too_long(status: int, what: str, size: int, maximum: int) -> AccessError:
    """Return the refusal of a path or headers that are too long."""
    return AccessError(
        status,
        "size",
        f"{what} of at most {maximum} bytes",
        received=f"{size}",
        action="Send less.",
    )


def no_route() -> AccessError:
    """Return the refusal of a path that no route can have."""
    return AccessError(
        404,
        "path",
        "a path without a line break",
        received="one with %0A",
        action="Correct the id in it: none has a line break.",
    )


def not_one_host(n: int) -> AccessError:
    """Return the refusal of a request that names no host, or several (RFC 9112, 3.2)."""
    return AccessError(
        400,
        "host",
        "exactly one Host header",
        received=str(n),
        action="Send one.",
    )
