"""Which key opens which route, by the first part of its path; what is not listed needs `admin`."""

from typing import Literal

AccessScope = Literal["recommend", "events", "admin"]
SCOPES: tuple[AccessScope, ...] = ("recommend", "events", "admin")

# Probes tell nothing but whether the service lives, and who asks for them has no key.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})
OTHER = "other"
NEEDS: dict[str, AccessScope] = {
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


def label(path: str) -> str:
    """Return the route's name for metrics and logs: one of those above, or 'other'.

    >>> label("/recommend"), label("/similar/1029743"), label("/wp-login.php")
    ('/recommend', '/similar', 'other')
    """
    if path in PROBES:
        return path
    if not path.startswith("/"):
        return OTHER
    first = path.split("/", 2)[1]
    return f"/{first}" if first in NEEDS else OTHER


def needed(route: str) -> AccessScope | None:
    """Return the scope that a route of `label` needs, None if it needs no key.

    >>> needed("/recommend"), needed("other"), needed("/readyz")
    ('recommend', 'admin', None)
    """
    return None if route in PROBES else NEEDS.get(route[1:], "admin")
