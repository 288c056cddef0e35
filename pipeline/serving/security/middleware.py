"""ASGI middleware: authorizes requests, and adds security headers to every answer."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.observability.current_request import CURRENT
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.observability.middleware import method_of
from pipeline.serving.security.audit import Audit
from pipeline.serving.security.authorizer import Authorizer
from pipeline.serving.security.errors import AccessError, send_error
from pipeline.serving.security.routes import route_label

Headers = Iterable[tuple[bytes, bytes]]

ADMIN = "/admin"
# A page may load scripts and styles from this service only, and no page may frame it.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Added unless the route sets its own.
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"content-security-policy": POLICY,
    b"referrer-policy": b"no-referrer",
}


class AuthMiddleware:
    """Authorizes the requests to an app."""

    def __init__(self, app: ASGIApp, *, authorizer: Authorizer, audit: Audit) -> None:
        """Wrap an app."""
        self._app = app
        self._authorizer = authorizer
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the app, or deny it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = route_label(scope["path"])
        status = 0

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = add_security_headers(message.get("headers", ()))
            await send(message)

        try:
            key = self._authorizer.authorize(scope, route)
        except AccessError as error:
            self._record_denied(error, scope, route)
            await send_error(error, send_secured)
            return
        try:
            await self._app(scope, receive, send_secured)
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

    def _record_denied(self, error: AccessError, scope: Scope, route: str) -> None:
        metrics().denied.labels(reason=error.reason).inc()
        self._audit.write_denied(
            reason=error.reason,
            route=route,
            status=error.status,
            client=(scope.get("client") or (None,))[0],
            request_id=_request_id(),
        )


def add_security_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with the default security headers that it lacks."""
    merged = list(headers)
    present = {name.lower() for name, _ in merged}
    merged.extend(pair for pair in HEADERS.items() if pair[0] not in present)
    return merged


def _request_id() -> str | None:
    current = CURRENT.get()
    return current.request_id if current else None
