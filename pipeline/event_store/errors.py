"""The error of the event store."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.contracts.errors import EvergreenError


class StoreError(EvergreenError):
    """The event store cannot be written or read at the moment."""


DAMAGED = ("file is not a database", "malformed")
"""What SQLite says of a file whose contents are damaged."""


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
        action = "Try again in a moment."
        if any(words in received for words in DAMAGED):
            action = "Stop the service, and restore the file from a backup."
        raise StoreError(expected, received=received, action=action) from error
