"""API keys: created, listed and revoked in a file that only the service's account reads.

Design choices:

- A key is `eg_<name>_<secret>` with a secret of 256 random bits; the file holds its SHA-256. A slow
  password hash (bcrypt, Argon2) protects secrets that people choose, because an attacker can try
  the likely ones. No attacker can try 2^256 equally likely ones, and a slow hash would delay every
  request.
- If the file exists, requests need a key, even if the file lists none. If it does not exist, the
  service accepts requests over loopback only.
- Writes are atomic and take a lock, so no revocation is lost.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contracts.errors import EvergreenError
from pipeline.serving.security.routes import SCOPES, AccessScope

PREFIX = "eg"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SECRET_BYTES = 32
PRIVATE = 0o600
WRITABLE_BY_OTHERS = 0o022


class KeyFileError(EvergreenError):
    """The key file cannot be used, or a key cannot be created or revoked."""


class Key(BaseModel):
    """One entry of the key file.

    Attributes:
        name: The name in logs and metrics.
        sha256: SHA-256 of the secret, in hexadecimal digits.
        scopes: The scopes of routes that the key may use.
        created: Time of creation, ISO 8601 in UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    scopes: tuple[AccessScope, ...]
    created: str


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key]


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split_token(token: str) -> tuple[str, str] | None:
    """Return a key's name and secret, or None if the token is malformed.

    >>> split_token("eg_shop_abc_d")
    ('shop', 'abc_d')
    """
    parts = token.split("_", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == PREFIX else None  # noqa: PLR2004


def read_keys(path: Path) -> dict[str, Key] | None:
    """Return the keys by name, or None if the file does not exist.

    Raises:
        KeyFileError: The file is damaged, or users other than its owner may write it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    if mode & WRITABLE_BY_OTHERS:
        raise _unusable(path, f"one that others may write (mode {mode & 0o777:o})")
    try:
        keys = _KeyFile.model_validate_json(text).keys
    except ValidationError as error:
        raise _unusable(path, f"{error.error_count()} invalid values") from error
    return {key.name: key for key in keys}


def create_key(path: Path, name: str, scopes: tuple[AccessScope, ...]) -> str:
    """Create a key and return its token, which cannot be recovered later.

    Raises:
        KeyFileError: The name is invalid or taken, a scope is unknown or none is given, or the file
            cannot be used.
    """
    if not NAME.fullmatch(name):
        raise KeyFileError(
            "a name of at most 32 lowercase letters, digits and dashes",
            received=repr(name),
            action="Choose such a name with --name.",
        )
    if not scopes or set(scopes) - set(SCOPES):
        raise KeyFileError(
            f"one or more of the scopes {', '.join(SCOPES)}",
            received=", ".join(scopes) or "none",
            action="List them with --scopes, separated by commas.",
        )
    secret = secrets.token_urlsafe(SECRET_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with _edit_keys(path) as keys:
        if name in keys:
            raise KeyFileError(
                "a name that no key has",
                received=f"'{name}', the name of a key",
                action="Choose another with --name, or revoke that key first.",
            )
        keys[name] = Key(name=name, sha256=hash_secret(secret), scopes=scopes, created=created)
    return f"{PREFIX}_{name}_{secret}"


def revoke_key(path: Path, name: str) -> None:
    """Revoke a key.

    Raises:
        KeyFileError: No key has that name, or the file cannot be used.
    """
    with _edit_keys(path) as keys:
        if name not in keys:
            raise KeyFileError(
                "the name of a key",
                received=f"'{name}'; the keys are: {', '.join(sorted(keys)) or 'none'}",
                action="See `uv run python -m pipeline.serving key list`.",
            )
        del keys[name]


@contextmanager
def _edit_keys(path: Path) -> Iterator[dict[str, Key]]:
    """Yield the keys to change, and write them unless an error is raised."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = read_keys(path) or {}
        yield keys
        _write(path, keys)
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, keys: Mapping[str, Key]) -> None:
    text = json.dumps({"keys": [key.model_dump() for key in keys.values()]}, indent=2) + "\n"
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _unusable(path: Path, received: str) -> KeyFileError:
    return KeyFileError(
        f"a key file '{path}' that only its owner may write",
        received=received,
        action=f"Repair it and set its mode to {PRIVATE:o}, or move it away and create new keys.",
    )
