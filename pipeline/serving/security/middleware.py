"""ASGI middleware: lets in whom the door admits, and puts security headers on every answer."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.observability.current import CURRENT
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.observability.observed import method_of
from pipeline.serving.security.audit import Audit
from pipeline.serving.security.authorizer import Authorizer
from pipeline.serving.security.errors import AccessError, refuse
from pipeline.serving.security.routes import label

Headers = Iterable[tuple[bytes, bytes]]

ADMIN = "/admin"
# A page may load scripts and styles from this service only, and nobody may frame it.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Unless a route sets its own.
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"content-security-policy": POLICY,
    b"referrer-policy": b"no-referrer",
}


class AuthMiddleware:
    """Guards an app."""

    def __init__(self, app: ASGIApp, *, door: Authorizer, audit: Audit) -> None:
        """Wrap an app."""
        self._app = app
        self._door = door
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = label(scope["path"])
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_security(message.get("headers", ()))
            await send(message)

        try:
            key = self._door.admit(scope, route)
        except AccessError as error:
            self._note(error, scope, route)
            await refuse(error, sent)
            return
        try:
            await self._app(scope, receive, sent)
        finally:
            if route == ADMIN:
                self._audit.write(
                    "admin",
                    key=key,
                    method=method_of(scope),
                    route=getattr(scope.get("route"), "path", route),
                    status=status,
                    request_id=_request_id(),
                )

    def _note(self, error: AccessError, scope: Scope, route: str) -> None:
        metrics().denied.labels(reason=error.reason).inc()
        self._audit.denied(
            reason=error.reason,
            route=route,
            status=error.status,
            client=(scope.get("client") or (None,))[0],
            request_id=_request_id(),
        )


def with_security(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those that keep browsers safe."""
    found = list(headers)
    present = {name.lower() for name, _ in found}
    found.extend(pair for pair in HEADERS.items() if pair[0] not in present)
    return found


def _request_id() -> str | None:
    current = CURRENT.get()
    return current.request_id if current else None
