"""Who is let in: the decision on one request, from its path, its headers and where it came in."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from pipeline.serving.observability.metrics import metrics
from pipeline.serving.security import errors
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.rate_limit import RateLimit
from pipeline.serving.security.routes import needed

MAXIMUM_PATH_BYTES = 2_048
MAXIMUM_HEADER_BYTES = 16_384
MAXIMUM_HEADERS = 100
BEARER = "bearer "


class Authorizer:
    """The rules of one service."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        per_key: RateLimit,
        per_address: RateLimit,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """Take the rules.

        Args:
            keys: Where there is no file of them, only this machine is let in.
            per_key: How often a key may ask.
            per_address: How often an address may ask where there are no keys.
            origins: Web pages of others that may ask (CORS).
        """
        self.keys = keys
        self._per_key = per_key
        self._per_address = per_address
        self._origins = origins

    def admit(self, scope: Scope, route: str) -> str | None:
        """Return the name of the key that came with a request, None where none is wanted.

        Raises:
            RefusedError: It is not let in.
        """
        headers = _checked(scope)
        need = needed(route)
        if need is None:
            return None
        if not self.keys.is_on:
            self._local(scope, headers)
            return None
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if authorization[: len(BEARER)].lower() != BEARER:
            raise errors.no_key("none")
        key = self.keys.open(authorization[len(BEARER) :].strip(), need)
        if wait := self._per_key.take(key.name):
            metrics().limited.labels(key=key.name).inc()
            raise errors.too_often("rate", wait)
        return key.name

    def _local(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Let in only what comes over loopback, and no web page of others.

        A page that somebody here looks at could otherwise send events, or read answers by giving
        its own name this machine's address (DNS rebinding).
        """
        server = (scope.get("server") or ("localhost",))[0]
        if not is_loopback(server):
            raise errors.not_local(f"one to {server}")
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_local_name(host):
            raise errors.not_local(f"one to {host[:200]}")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin not in self._origins and _host_of(origin) != host:
            raise errors.foreign_page(origin)
        address = (scope.get("client") or ("",))[0]
        if wait := self._per_address.take(address):
            metrics().limited.labels(key="(address)").inc()
            raise errors.too_often("rate", wait)


def _checked(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers, if they and the path are not too long."""
    size = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if size > MAXIMUM_PATH_BYTES:
        raise errors.too_long(414, "a path and query", size, MAXIMUM_PATH_BYTES)
    if "\n" in scope["path"]:  # no route has one, and BentoML would answer in a form of its own
        raise errors.no_route()
    headers = scope["headers"]
    size = sum(len(name) + len(value) for name, value in headers)
    if size > MAXIMUM_HEADER_BYTES:
        raise errors.too_long(431, "headers", size, MAXIMUM_HEADER_BYTES)
    if len(headers) > MAXIMUM_HEADERS:
        raise errors.AccessError(
            431,
            "size",
            f"at most {MAXIMUM_HEADERS} headers",
            received=str(len(headers)),
            action="Send fewer.",
        )
    n_hosts = sum(name == b"host" for name, _ in headers)
    if n_hosts > 1 or (n_hosts == 0 and scope.get("http_version") == "1.1"):
        raise errors.not_one_host(n_hosts)
    return dict(headers)


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own; a socket file is, too.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "/tmp/socket")]
    [True, True, True, True]
    >>> [is_loopback(host) for host in ("10.0.0.7", "0.0.0.0", "shop.example")]
    [False, False, False]
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.startswith("/")
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


@lru_cache(maxsize=256)
def is_local_name(host: str) -> bool:
    """Tell whether a Host header names this machine: by address, or a name that no DNS knows.

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
