"""The one error of this room."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.contracts.errors import EvergreenError


class StoreError(EvergreenError):
    """The event store cannot be written or read now."""


@contextmanager
def said_clearly(expected: str) -> Iterator[None]:
    """Turn what a database driver says into a StoreError.

    Args:
        expected: What the database had to do: goes on after "Expected".

    Raises:
        StoreError: The database said no, or no connection was free.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        said = error.orig if isinstance(error, DBAPIError) else error
        # The first line only: further ones of PostgreSQL quote rows, and with them shoppers.
        received = str(said).strip().partition("\n")[0]
        raise StoreError(expected, received=received, action="Try again in a moment.") from error
