"""Paths and URLs of the service: environment variables take precedence over params.yaml."""

from collections.abc import Mapping
from pathlib import Path

BUNDLE = "EVERGREEN_BUNDLE"
PARAMS = "EVERGREEN_PARAMS"
EVENT_STORE = "EVERGREEN_EVENT_STORE"
KEYS = "EVERGREEN_KEYS"
AUDIT_LOG = "EVERGREEN_AUDIT_LOG"
RELEASES_FOLDER = "EVERGREEN_RELEASES"
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "OTEL_SDK_DISABLED": "true",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "BENTOML_DO_NOT_TRACK": "True",
}


def absolute_store_url(url: str, *, root: Path) -> str:
    """Return a database URL whose SQLite file does not depend on the working directory.

    >>> absolute_store_url("sqlite:///data/events.db", root=Path("/shop"))
    'sqlite:////shop/data/events.db'
    >>> absolute_store_url("postgresql://db/shop", root=Path("/shop"))
    'postgresql://db/shop'
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url[len(prefix) :] in {"", ":memory:"}:
        return url
    return f"{prefix}{root.absolute() / url[len(prefix) :]}"


def keys_path(environment: Mapping[str, str], default: str) -> Path:
    """Return the path of the key file: $EVERGREEN_KEYS, else `default`."""
    return Path(environment.get(KEYS) or default)


def audit_log_path(environment: Mapping[str, str], default: str) -> Path:
    """Return the path of the audit log: $EVERGREEN_AUDIT_LOG, else `default`."""
    return Path(environment.get(AUDIT_LOG) or default)


def event_store_url(environment: Mapping[str, str], default: str) -> str:
    """Return the URL of the event store: $EVERGREEN_EVENT_STORE, else `default`."""
    return environment.get(EVENT_STORE) or default
