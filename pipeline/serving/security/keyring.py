"""The keys in the running service: they follow their file, and never fall back to fewer guards."""

import hmac
import logging
import time
from pathlib import Path

from pipeline.serving.security.errors import no_key, no_scope
from pipeline.serving.security.keys import Key, KeyFileError, digest, read_keys, split
from pipeline.serving.security.routes import AccessScope

LOOK_SECONDS = 1.0

log = logging.getLogger("evergreen.access")


class KeyRing:
    """The keys of a file, looked at again at most once a second."""

    def __init__(self, path: Path) -> None:
        """Read the keys.

        Raises:
            KeyFileError: The file is damaged, or others than its owner may change it.
        """
        self._path = path
        self._seen = _mark(path)
        self._keys = read_keys(path)
        self._next_look = time.monotonic() + LOOK_SECONDS

    @property
    def is_on(self) -> bool:
        """Whether keys are wanted."""
        self._look()
        return self._keys is not None

    def open(self, token: str, scope: AccessScope) -> Key:
        """Return the key that `token` is, if it opens what needs `scope`.

        Raises:
            RefusedError: It is not a key, or not one with that scope.
        """
        named = split(token)
        key = (self._keys or {}).get(named[0]) if named else None
        # Also without a key of that name something is compared: the time tells nothing.
        wanted = key.sha256 if key else digest("")
        same = hmac.compare_digest(wanted, digest(named[1] if named else token))
        if key is None or not same:
            raise no_key("one that is not valid")
        if scope not in key.scopes:
            raise no_scope(scope, ", ".join(key.scopes))
        return key

    def reload(self) -> int:
        """Read the file now and return the number of keys.

        Raises:
            KeyFileError: It is gone or damaged; the keys stay as they were.
        """
        found = read_keys(self._path)
        if found is None and self._keys is not None:
            raise KeyFileError(
                f"the file of keys at '{self._path}'",
                received="no such file",
                action="Put it back; the keys stay as they were. To do without keys, restart.",
            )
        self._keys = found
        return len(found or {})

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        mark = _mark(self._path)
        if mark == self._seen:
            return
        self._seen = mark
        try:
            log.info("The keys were read again: %d.", self.reload())
        except KeyFileError as error:
            log.error("The keys stay as they were. %s", error)  # noqa: TRY400  all is said


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
