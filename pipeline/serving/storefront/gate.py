"""Who may see the storefront: it shows personal histories, so only people at this machine.

Design choices:

- The connection decides, not the configured address: the end that the request arrived at must be a
  loopback address. In a container, or bound to a network, it is not, and nothing is shown.
- The Host header must name this machine too: a page elsewhere whose name was pointed at 127.0.0.1
  (DNS rebinding) sends its own name.
- A request that a proxy passed on comes from elsewhere, so it is refused.
"""

from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import ServingParams

PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class StorefrontClosedError(EvergreenError):
    """The storefront is not shown to this request."""


def is_open(params: ServingParams, scope: Scope) -> bool:
    """Tell whether the storefront answers this request; the one place that decides it.

    Args:
        params: The section serving of params.yaml.
        scope: The ASGI scope of the request.
    """
    headers = Headers(scope=scope)
    arrived_at = str((scope.get("server") or ("",))[0])
    return (
        params.storefront
        and is_loopback(arrived_at)
        and is_loopback(host_name(headers.get("host", "")))
        and not any(name in headers for name in PASSED_ON)
    )


def check_open(params: ServingParams, scope: Scope) -> None:
    """Check that the storefront answers this request.

    Raises:
        StorefrontClosedError: It does not.
    """
    if not is_open(params, scope):
        raise StorefrontClosedError(
            "the storefront, which is shown only on the machine of the service",
            received="serving.storefront: false in params.yaml"
            if not params.storefront
            else "a request from elsewhere",
            action="Set serving.storefront: true and open it through 127.0.0.1. The API is "
            "described at /docs.",
        )


def is_loopback(name: str) -> bool:
    """Tell whether a host name or address is this machine itself.

    >>> [is_loopback(name) for name in ("127.0.0.1", "::1", "localhost", "10.0.0.7", "a.shop")]
    [True, True, True, False, False]
    """
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def host_name(header: str) -> str:
    """Return a Host header without its port.

    >>> [host_name(header) for header in ("localhost:3000", "[::1]:3000", "127.0.0.1")]
    ['localhost', '::1', '127.0.0.1']
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
