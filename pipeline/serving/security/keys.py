"""API keys: made, listed and revoked in a small file that only the service's account reads.

Design choices:

- A key is `eg_<name>_<secret>`, the secret 256 random bits. The file holds the secret's SHA-256. A
  slow password hash (bcrypt, Argon2) guards secrets that people choose, of which few are likely
  and can be tried; of 2^256 equally likely ones none can, and a slow hash would cost every request.
- The file is there: keys are wanted, even if none is left in it. It is not there: the service
  answers on loopback only.
- Written whole or not at all, one writer at a time: a revocation is never lost.
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
    """The file of keys cannot be used, or a key cannot be made or revoked."""


class Key(BaseModel):
    """What is kept of a key.

    Attributes:
        name: Whose it is; in logs and metrics.
        sha256: Of the secret, in hexadecimal digits.
        scopes: What it opens.
        created: ISO 8601, UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    scopes: tuple[AccessScope, ...]
    created: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key]


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split(token: str) -> tuple[str, str] | None:
    """Return a key's name and secret, None if it is not of a key's form.

    >>> split("eg_shop_abc_d")
    ('shop', 'abc_d')
    """
    parts = token.split("_", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == PREFIX else None  # noqa: PLR2004


def read_keys(path: Path) -> dict[str, Key] | None:
    """Return the keys by name, None if there is no file.

    Raises:
        KeyFileError: It is damaged, or others than its owner may change it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    if mode & WRITABLE_BY_OTHERS:
        raise _unusable(path, f"one that others may change (mode {mode & 0o777:o})")
    try:
        found = _File.model_validate_json(text).keys
    except ValidationError as error:
        raise _unusable(path, f"{error.error_count()} faults in it") from error
    return {key.name: key for key in found}


def create_key(path: Path, name: str, scopes: tuple[AccessScope, ...]) -> str:
    """Add a key and return it; nobody can show it again.

    Raises:
        KeyFileError: The name is taken or not one, there is no scope, or the file is unusable.
    """
    if not NAME.fullmatch(name):
        raise KeyFileError(
            "a name of at most 32 small letters, digits and dashes",
            received=repr(name),
            action="Give it such a name with --name.",
        )
    if not scopes or set(scopes) - set(SCOPES):
        raise KeyFileError(
            f"one or more of the scopes {', '.join(SCOPES)}",
            received=", ".join(scopes) or "none",
            action="Name them with --scopes, separated by commas.",
        )
    secret = secrets.token_urlsafe(SECRET_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with _changing(path) as keys:
        if name in keys:
            raise KeyFileError(
                "a name that no key has",
                received=f"'{name}', which is there",
                action="Give another with --name, or revoke that one first.",
            )
        keys[name] = Key(name=name, sha256=digest(secret), scopes=scopes, created=created)
    return f"{PREFIX}_{name}_{secret}"


def revoke_key(path: Path, name: str) -> None:
    """Take a key away.

    Raises:
        KeyFileError: There is none of that name, or the file is unusable.
    """
    with _changing(path) as keys:
        if name not in keys:
            raise KeyFileError(
                "the name of a key",
                received=f"'{name}'; there are: {', '.join(sorted(keys)) or 'none'}",
                action="See `uv run python -m pipeline.serving key list`.",
            )
        del keys[name]


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Key]]:
    """Yield the keys to change; they are written when no error came."""
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
        f"a file of keys at '{path}' that only its owner may change",
        received=received,
        action=f"Mend it, or move it away and make new keys. Its mode should be {PRIVATE:o}.",
    )
