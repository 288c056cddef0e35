"""Middleware in front of the routes: request ids, metrics, CORS, API keys and rate limits.

BentoML creates middleware before the service has read its parameters. `GatewayMiddleware` therefore
exists from the start and gets its resources later; until then only probes pass.
"""

import os
from pathlib import Path

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.contracts.params import ServingParams
from pipeline.serving.environment import audit_log_path, keys_path
from pipeline.serving.observability.middleware import TelemetryMiddleware
from pipeline.serving.observability.pseudonyms import Pseudonyms, read_salt
from pipeline.serving.observability.tracing import Tracing, build_tracing
from pipeline.serving.security.audit import Audit
from pipeline.serving.security.authorizer import Authorizer
from pipeline.serving.security.errors import AccessError, send_error
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.middleware import AuthMiddleware
from pipeline.serving.security.rate_limit import RateLimit
from pipeline.serving.security.routes import required_scope, route_label

SALT = "salt"


class GatewayResources:
    """Resources of the gateway: keys, audit log, pseudonyms and tracing; one per service."""

    def __init__(self, params: ServingParams, *, tracing: Tracing | None = None) -> None:
        """Read keys and salt.

        Args:
            params: Section `serving` of params.yaml.
            tracing: Tracing; configured by the OTEL_* environment variables if None.

        Raises:
            KeyFileError: The key file is damaged, or other users may write to it.
            SaltError: The salt cannot be read or created.
        """
        path = keys_path(os.environ, params.keys)
        self.keys = KeyRing(path)
        self.audit = Audit(audit_log_path(os.environ, params.audit_log))
        self.pseudonyms = Pseudonyms(read_salt(salt_path(path)))
        self.tracing = tracing or build_tracing(os.environ)
        self._params = params

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the app with all middleware around it."""
        params = self._params
        origins = list(params.cors_origins)
        authorizer = Authorizer(
            self.keys,
            per_key=RateLimit(params.requests_per_second_per_key),
            per_address=RateLimit(params.requests_per_second_per_address),
            origins=frozenset(origins),
        )
        wrapped: ASGIApp = AuthMiddleware(app, authorizer=authorizer, audit=self.audit)
        if origins:
            wrapped = CORSMiddleware(
                wrapped,
                allow_origins=origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
                expose_headers=["Retry-After", "X-Request-Id"],
            )
        return TelemetryMiddleware(
            wrapped, label=route_label, pseudonyms=self.pseudonyms, tracing=self.tracing
        )

    def close(self) -> None:
        """Export the remaining traces."""
        if self.tracing is not None:
            self.tracing.close()


class GatewaySlot:
    """Holds the gateway resources once they are loaded."""

    resources: GatewayResources | None = None


class GatewayMiddleware:
    """ASGI middleware that applies the gateway resources to an app."""

    def __init__(self, app: ASGIApp, slot: GatewaySlot) -> None:
        """Wrap an app."""
        self._app = app
        self._slot = slot
        self._wrapped: tuple[GatewayResources, ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        resources = self._slot.resources
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif resources is not None:
            if self._wrapped is None or self._wrapped[0] is not resources:
                self._wrapped = (resources, resources.wrap(self._app))
            await self._wrapped[1](scope, receive, send)
        elif required_scope(route_label(scope["path"])) is None:
            await self._app(scope, receive, send)
        else:
            await send_error(_starting_error(), send)


def _starting_error() -> AccessError:
    return AccessError(
        503,
        "starting",
        "a running service",
        received="one that is starting or ending",
        action="Try again in a moment.",
        headers=((b"retry-after", b"1"),),
    )


def salt_path(keys: Path) -> Path:
    """Return the path of the salt, in the folder of the keys."""
    return keys.with_name(SALT)
