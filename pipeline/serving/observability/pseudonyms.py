"""Pseudonyms that replace user ids in the logs and in the audit log.

A pseudonym is a keyed hash: it is stable within one installation, and without the salt nobody can
find the id by trying all ids, as one could with a plain hash of a short customer number.
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
    """The installation's salt cannot be read or created."""


class Pseudonyms:
    """Turns user ids into pseudonyms."""

    def __init__(self, salt: bytes) -> None:
        """Use the installation's salt."""
        self._salt = salt

    def of(self, user_id: str) -> str:
        """Return the pseudonym of a user: 16 hexadecimal digits.

        >>> Pseudonyms(b"salt").of("ann") == Pseudonyms(b"salt").of("ann")
        True
        >>> Pseudonyms(b"salt").of("ann") == Pseudonyms(b"pepper").of("ann")
        False
        """
        return hmac.digest(self._salt, user_id.encode(), hashlib.sha256).hex()[:DIGITS]


def read_salt(path: Path) -> bytes:
    """Return the installation's salt; the first call creates it, readable by its owner only.

    Raises:
        SaltError: The file cannot be read or created, or is not a salt.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_salt(path)
        salt = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    if len(salt) < SALT_BYTES:
        raise _unusable(path, f"{len(salt)} bytes")
    return salt


def _write_salt(path: Path) -> None:
    """Write a new salt atomically unless there is one; of two processes at once, one wins."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    temporary.touch(PRIVATE)
    temporary.write_text(secrets.token_hex(SALT_BYTES) + "\n", encoding="ascii")
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def _unusable(path: Path, received: str) -> SaltError:
    return SaltError(
        f"a salt of at least {SALT_BYTES} bytes in hexadecimal digits in '{path}'",
        received=received,
        action="Make the folder writable, or move a damaged file away to have a new one created.",
    )
