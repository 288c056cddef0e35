"""The scope that each route requires, by the first part of its path; the default is `admin`."""

from typing import Literal

AccessScope = Literal["recommend", "events", "admin"]
SCOPES: tuple[AccessScope, ...] = ("recommend", "events", "admin")

# Probes reveal only whether the service is up, and their callers have no key.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})
OTHER = "other"
REQUIRED_SCOPES: dict[str, AccessScope] = {
    "recommend": "recommend",
    "recommend_batch": "recommend",
    "similar": "recommend",
    "explain": "recommend",
    "docs.json": "recommend",
    "docs": "recommend",
    "assets": "recommend",
    "events": "events",
    "availability": "events",
    "metrics": "admin",
    "admin": "admin",
    "storefront": "admin",
    "": "admin",  # the storefront's page
}


def route_label(path: str) -> str:
    """Return the route's name for metrics and logs: a probe, a listed route or 'other'.

    >>> route_label("/recommend"), route_label("/similar/1029743"), route_label("/wp-login.php")
    ('/recommend', '/similar', 'other')
    """
    if path in PROBES:
        return path
    if not path.startswith("/"):
        return OTHER
    first = path.split("/", 2)[1]
    return f"/{first}" if first in REQUIRED_SCOPES else OTHER


def required_scope(route: str) -> AccessScope | None:
    """Return the scope that a route of `route_label` requires, or None if it requires no key.

    >>> required_scope("/recommend"), required_scope("other"), required_scope("/readyz")
    ('recommend', 'admin', None)
    """
    return None if route in PROBES else REQUIRED_SCOPES.get(route[1:], "admin")
