"""The Ibis connection: DuckDB inside the process by default, another Ibis backend by URL."""

from typing import TYPE_CHECKING

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from ibis.backends import BaseBackend


def connect(url: str = "duckdb://") -> "BaseBackend":
    """Return an Ibis backend for `url`.

    Args:
        url: An Ibis connection URL. `duckdb://` is an in-memory DuckDB.

    Raises:
        SourceError: The URL names a backend that is not installed or does not answer.
    """
    import ibis

    try:
        return ibis.connect(url)
    except Exception as error:
        scheme = url.split("://", 1)[0]
        raise SourceError(
            "An Ibis backend that can be reached was wanted for collection.engine",
            received=f"{scheme}:// ({type(error).__name__}: {error})",
            action=f"Correct the URL, or install the backend: uv add 'ibis-framework[{scheme}]'.",
        ) from error
