"""The error of the event store."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.contracts.errors import EvergreenError


class StoreError(EvergreenError):
    """The event store cannot be written or read at the moment."""


@contextmanager
def translate_errors(expected: str) -> Iterator[None]:
    """Translate errors of the database driver into a StoreError.

    Args:
        expected: Purpose of the operation, as a phrase that follows "Expected".

    Raises:
        StoreError: If the database fails, or no connection is free.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        # Later lines of PostgreSQL's messages quote rows, which contain user ids.
        received = str(cause).strip().partition("\n")[0]
        raise StoreError(expected, received=received, action="Try again in a moment.") from error
