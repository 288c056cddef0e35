"""The API keys of a running service, reloaded from their file; losing the file removes no key."""

import hmac
import logging
import time
from pathlib import Path

from pipeline.serving.security.errors import build_key_error, build_scope_error
from pipeline.serving.security.keys import Key, KeyFileError, hash_secret, read_keys, split_token
from pipeline.serving.security.routes import AccessScope

POLL_SECONDS = 1.0

log = logging.getLogger("evergreen.access")


class KeyRing:
    """The keys of a file, which is polled at most once a second."""

    def __init__(self, path: Path) -> None:
        """Read the keys.

        Raises:
            KeyFileError: The file is damaged, or users other than its owner may write it.
        """
        self._path = path
        self._stamp = _stat(path)
        self._keys = read_keys(path)
        self._next_poll = time.monotonic() + POLL_SECONDS

    @property
    def is_enabled(self) -> bool:
        """Whether the service requires keys."""
        self._poll()
        return self._keys is not None

    def verify(self, token: str, scope: AccessScope) -> Key:
        """Return the key of `token` if it is valid and has `scope`.

        Raises:
            AccessError: The token is not a valid key, or the key lacks the scope.
        """
        parts = split_token(token)
        key = (self._keys or {}).get(parts[0]) if parts else None
        # Compare also if no key has the name, so that the time does not reveal the names.
        expected = key.sha256 if key else hash_secret("")
        is_same = hmac.compare_digest(expected, hash_secret(parts[1] if parts else token))
        if key is None or not is_same:
            raise build_key_error("one that is not valid")
        if scope not in key.scopes:
            raise build_scope_error(scope, ", ".join(key.scopes))
        return key

    def reload(self) -> int:
        """Read the file now and return the number of keys.

        Raises:
            KeyFileError: The file is missing or damaged; the loaded keys stay valid.
        """
        keys = read_keys(self._path)
        if keys is None and self._keys is not None:
            raise KeyFileError(
                f"the key file '{self._path}'",
                received="no such file",
                action="Restore it; the loaded keys stay valid. To serve without keys, restart.",
            )
        self._keys = keys
        return len(keys or {})

    def _poll(self) -> None:
        now = time.monotonic()
        if now < self._next_poll:
            return
        self._next_poll = now + POLL_SECONDS
        stamp = _stat(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            log.info("Reloaded the keys: %d.", self.reload())
        except KeyFileError as error:
            log.error("The loaded keys stay valid. %s", error)  # noqa: TRY400  no trace needed


def _stat(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes with the file, or None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
