"""The authorization of one request, from its path, its headers and its connection."""

from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from pipeline.serving.observability.metrics import metrics
from pipeline.serving.security import errors
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.loopback import is_loopback
from pipeline.serving.security.rate_limit import RateLimit
from pipeline.serving.security.routes import required_scope

MAXIMUM_PATH_BYTES = 2_048
MAXIMUM_HEADER_BYTES = 16_384
MAXIMUM_HEADERS = 100
BEARER = "bearer "


class Authorizer:
    """Authorizes the requests to one service."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        per_key: RateLimit,
        per_address: RateLimit,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """Set the rules.

        Args:
            keys: The API keys. Without a key file, only requests from this machine are allowed.
            per_key: Rate limit of each key.
            per_address: Rate limit of each address, used without a key file.
            origins: Origins of other web pages that may send requests (CORS).
        """
        self.keys = keys
        self._per_key = per_key
        self._per_address = per_address
        self._origins = origins

    def authorize(self, scope: Scope, route: str) -> str | None:
        """Return the name of the request's key, or None if no key is required.

        Args:
            scope: The ASGI scope of the request.
            route: The route from `route_label`.

        Raises:
            AccessError: The request is denied.
        """
        headers = _check_size(scope)
        required = required_scope(route)
        if required is None:
            return None
        if not self.keys.is_enabled:
            self._check_local(scope, headers)
            return None
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if authorization[: len(BEARER)].lower() != BEARER:
            raise errors.build_key_error("none")
        key = self.keys.verify(authorization[len(BEARER) :].strip(), required)
        if wait := self._per_key.take(key.name):
            metrics().limited.labels(key=key.name).inc()
            raise errors.build_rate_error("rate", wait)
        return key.name

    def _check_local(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Check that a request comes over loopback and from no other web page.

        A page that is open in a browser on this machine could otherwise send events, or read
        answers by pointing its own name at this machine (DNS rebinding).
        """
        server = (scope.get("server") or ("localhost",))[0]
        if not (is_loopback(server) or server.startswith("/")):  # a socket file is local
            raise errors.build_remote_error(f"one to {server}")
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_local_name(host):
            raise errors.build_remote_error(f"one to {host[:200]}")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin not in self._origins and _host_of(origin) != host:
            raise errors.build_origin_error(origin)
        address = (scope.get("client") or ("",))[0]
        if wait := self._per_address.take(address):
            metrics().limited.labels(key="(address)").inc()
            raise errors.build_rate_error("rate", wait)


def _check_size(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers; raise AccessError if they or the path are too long."""
    size = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if size > MAXIMUM_PATH_BYTES:
        raise errors.build_size_error(414, "a path and query", size, MAXIMUM_PATH_BYTES)
    if "\n" in scope["path"]:  # no route has one, and BentoML's own 404 has another body
        raise errors.build_path_error()
    headers = scope["headers"]
    size = sum(len(name) + len(value) for name, value in headers)
    if size > MAXIMUM_HEADER_BYTES:
        raise errors.build_size_error(431, "headers", size, MAXIMUM_HEADER_BYTES)
    if len(headers) > MAXIMUM_HEADERS:
        raise errors.AccessError(
            431,
            "size",
            f"at most {MAXIMUM_HEADERS} headers",
            received=str(len(headers)),
            action="Send fewer headers.",
        )
    n_hosts = sum(name == b"host" for name, _ in headers)
    if n_hosts > 1 or (n_hosts == 0 and scope.get("http_version") == "1.1"):
        raise errors.build_host_error(n_hosts)
    return dict(headers)


@lru_cache(maxsize=256)
def is_local_name(host: str) -> bool:
    """Return whether a Host header is an address or a name that no DNS server resolves.

    >>> [is_local_name(host) for host in ("127.0.0.1:3000", "localhost:3000", "[::1]:3000", "")]
    [True, True, True, True]
    >>> is_local_name("evil.example:3000")
    False
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    if name.endswith(".localhost") or "." not in name:
        return True
    return name.replace(".", "").isdecimal()


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]
