"""What stands for a shopper where the id itself must not: in logs and in the audit log.

A keyed hash: the same shopper is the same pseudonym within one installation, and without the salt
nobody can try all ids against it. An unsalted hash of a short customer number would be no secret.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from pipeline.contracts.errors import EvergreenError

SALT_BYTES = 32
DIGITS = 16
PRIVATE = 0o600


class SaltError(EvergreenError):
    """The installation's salt cannot be read or made."""


class Pseudonyms:
    """Turns user ids into pseudonyms."""

    def __init__(self, salt: bytes) -> None:
        """Use the installation's salt."""
        self._salt = salt

    def of(self, user_id: str) -> str:
        """Return the pseudonym of a shopper.

        >>> Pseudonyms(b"salt").of("ann") == Pseudonyms(b"salt").of("ann")
        True
        >>> Pseudonyms(b"salt").of("ann") == Pseudonyms(b"pepper").of("ann")
        False
        """
        return hmac.digest(self._salt, user_id.encode(), hashlib.sha256).hex()[:DIGITS]


def read_salt(path: Path) -> bytes:
    """Return the installation's salt; the first to ask makes it, readable by its account only.

    Raises:
        SaltError: It cannot be read, or is not one.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path)
        salt = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    if len(salt) < SALT_BYTES:
        raise _unusable(path, f"{len(salt)} bytes")
    return salt


def _make(path: Path) -> None:
    """Write a new salt unless there is one; of two processes at once one wins, and it is whole."""
    if path.exists():
        return
    mine = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    mine.touch(PRIVATE)
    mine.write_text(secrets.token_hex(SALT_BYTES) + "\n", encoding="ascii")
    try:
        os.link(mine, path)
    except FileExistsError:
        return
    finally:
        mine.unlink()


def _unusable(path: Path, received: str) -> SaltError:
    return SaltError(
        f"a salt of at least {SALT_BYTES} bytes in hexadecimal digits in '{path}'",
        received=received,
        action="Make its folder writable; move a damaged file away, and a new one is made.",
    )
