"""Access to the storefront: it shows personal histories, so it opens on this machine only.

Design choices:

- The connection decides, not the configured address: the server's end of it must be a loopback
  address. In a container, or on a network address, it is not, and the storefront is closed.
- The Host header must name this machine too: a foreign page whose name points at 127.0.0.1 (DNS
  rebinding) sends its own name.
- A request that a proxy forwards may come from another machine, so it is refused.
"""

from starlette.datastructures import Headers
from starlette.types import Scope

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import ServingParams
from pipeline.serving.security.loopback import is_loopback

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class StorefrontClosedError(EvergreenError):
    """The storefront is closed to this request."""


def is_open(params: ServingParams, scope: Scope) -> bool:
    """Return whether the storefront is open to a request; every route relies on this function.

    Args:
        params: The section serving of params.yaml.
        scope: The ASGI scope of the request.
    """
    headers = Headers(scope=scope)
    server = str((scope.get("server") or ("",))[0])
    return (
        params.storefront
        and is_loopback(server)
        and is_loopback(host_name(headers.get("host", "")))
        and not any(name in headers for name in PROXY_HEADERS)
    )


def check_open(params: ServingParams, scope: Scope) -> None:
    """Check that the storefront is open to a request.

    Raises:
        StorefrontClosedError: It is closed.
    """
    if not is_open(params, scope):
        raise StorefrontClosedError(
            "a request from the service's own machine, with the storefront switched on",
            received="serving.storefront: false in params.yaml"
            if not params.storefront
            else "a request from elsewhere",
            action="Set serving.storefront: true and open it at 127.0.0.1. See /docs for the API.",
        )


def host_name(header: str) -> str:
    """Return the host of a Host header, without the port.

    >>> [host_name(header) for header in ("localhost:3000", "[::1]:3000", "127.0.0.1")]
    ['localhost', '::1', '127.0.0.1']
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
