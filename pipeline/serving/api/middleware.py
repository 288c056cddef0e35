"""What stands between the socket and the routes: request id and numbers, CORS, keys and limits.

BentoML asks for its middleware before the service has read its parameters, so `GatewayMiddleware`
exists from the start and gets its resources later; until then only probes pass.
"""

import os
from pathlib import Path

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.contracts.params import ServingParams
from pipeline.serving.environment import audit_log_of, keys_of
from pipeline.serving.observability.observed import Observed
from pipeline.serving.observability.pseudonyms import Pseudonyms, read_salt
from pipeline.serving.observability.tracing import Tracing, tracing_from
from pipeline.serving.security.audit import Audit
from pipeline.serving.security.authorizer import Authorizer
from pipeline.serving.security.errors import AccessError, refuse
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.middleware import AuthMiddleware
from pipeline.serving.security.rate_limit import RateLimit
from pipeline.serving.security.routes import label, needed

SALT = "salt"


class GatewayResources:
    """What the front works with: keys, audit log, salt, traces. Made once per service."""

    def __init__(self, params: ServingParams, *, tracing: Tracing | None = None) -> None:
        """Read keys and salt.

        Args:
            params: The section of params.yaml.
            tracing: That of the environment's standard variables if None.

        Raises:
            KeyFileError: The file of keys is damaged, or others may change it.
            SaltError: The salt cannot be read or made.
        """
        path = keys_of(os.environ, params.keys)
        self.keys = KeyRing(path)
        self.audit = Audit(audit_log_of(os.environ, params.audit_log))
        self.pseudonyms = Pseudonyms(read_salt(salt_beside(path)))
        self.tracing = tracing or tracing_from(os.environ)
        self._params = params

    def furnish(self, app: ASGIApp) -> ASGIApp:
        """Return the app behind its guards."""
        params = self._params
        origins = list(params.cors_origins)
        door = Authorizer(
            self.keys,
            per_key=RateLimit(params.requests_per_second_per_key),
            per_address=RateLimit(params.requests_per_second_per_address),
            origins=frozenset(origins),
        )
        found: ASGIApp = AuthMiddleware(app, door=door, audit=self.audit)
        if origins:
            found = CORSMiddleware(
                found,
                allow_origins=origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
                expose_headers=["Retry-After", "X-Request-Id"],
            )
        return Observed(found, label=label, pseudonyms=self.pseudonyms, tracing=self.tracing)

    def close(self) -> None:
        """Send the traces that wait."""
        if self.tracing is not None:
            self.tracing.close()


class GatewaySlot:
    """Where the desk is put as soon as it is there."""

    desk: GatewayResources | None = None


class GatewayMiddleware:
    """ASGI middleware: the app behind its guards."""

    def __init__(self, app: ASGIApp, place: GatewaySlot) -> None:
        """Wrap an app."""
        self._app = app
        self._place = place
        self._furnished: tuple[GatewayResources, ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        desk = self._place.desk
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif desk is not None:
            if self._furnished is None or self._furnished[0] is not desk:
                self._furnished = (desk, desk.furnish(self._app))
            await self._furnished[1](scope, receive, send)
        elif needed(label(scope["path"])) is None:
            await self._app(scope, receive, send)
        else:
            await refuse(_starting(), send)


def _starting() -> AccessError:
    return AccessError(
        503,
        "starting",
        "a running service",
        received="one that is starting or ending",
        action="Try again in a moment.",
        headers=((b"retry-after", b"1"),),
    )


def salt_beside(keys: Path) -> Path:
    """Return where the salt lies: beside the keys."""
    return keys.with_name(SALT)
