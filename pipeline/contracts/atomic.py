"""Files and folders that are replaced whole or not at all, even if the process is killed meanwhile.

Design choices:

- A file is written beside its place, flushed to disk and renamed over it: one step.
- No rename puts a folder over a folder that holds something. Linux and macOS can swap two names in
  one step, so at every moment one whole folder has the name.
- Some file systems (NFS, a few FUSE drivers) refuse to swap. There it takes two renames; between
  them the folder has the hidden name `.<name>.old`, and `restore` renames it back. Whoever writes
  or reads such a folder calls it first.
- A killed process leaves its temporary file or folder behind. The next writer of that name deletes
  it: a lock, which dies with the process, tells what is still in use.
"""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY, OLD = ".tmp", ".old"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # <linux/fs.h>
RENAME_SWAP = 2  # <sys/stdio.h> of macOS
CANNOT_SWAP = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}
ATTEMPTS = 5
ABANDONED_SECONDS = 60.0  # nobody needs longer from making a temporary name to locking it


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it.

    After any error, Ctrl-C included, `path` is as it was before and the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    temporary = Path(name)
    try:
        _lock(descriptor)
        yield temporary
        _sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path`.

    After any error, Ctrl-C included, `path` is as it was before and the temporary folder is gone.
    A process that is killed leaves `path` as it was before or as it is afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    restore(path)
    sweep(path)
    made = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    temporary = Path(made)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
        temporary.chmod(0o755)
        _put(temporary, path)
        _sync(path.parent)
    finally:
        os.close(descriptor)
        restore(path)
        _remove(temporary)
        if _exists(path):
            _remove(_old(path))


def exchange(one: Path, other: Path) -> bool:
    """Swap what two names stand for, in one step.

    Returns:
        False if this file system or operating system cannot; then nothing has changed.

    Raises:
        OSError: It can, and failed.
    """
    names = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, RENAME_SWAP)
        else:
            failed = library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    except AttributeError:  # a C library without it
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in CANNOT_SWAP:
        return False
    raise OSError(number, os.strerror(number), str(other))


def restore(path: Path) -> None:
    """Give a folder, or one above it, its name back if a process died between the two renames."""
    if _exists(path):
        return
    for folder in (*reversed(path.parents[:-1]), path):
        if not _exists(folder):
            with contextlib.suppress(OSError):  # there is none, or its writer went on meanwhile
                _old(folder).rename(folder)


def sweep(path: Path) -> None:
    """Delete the temporary files and folders for `path` that killed processes left."""
    pattern = f".{glob.escape(path.name)}.*{TEMPORARY}"
    for abandoned in path.parent.glob(pattern):
        if _is_abandoned(abandoned):
            _remove(abandoned)


def _put(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`."""
    if not _exists(path):
        new.rename(path)
    elif not exchange(new, path):
        _put_in_two_steps(new, path)


def _put_in_two_steps(new: Path, path: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        _remove(_old(path))
        path.rename(_old(path))
        try:
            new.rename(path)
        except OSError as error:  # a reader restored `path` meanwhile
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or attempt == ATTEMPTS:
                raise
        else:
            return


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}{OLD}")


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or the file system has no locks
        return False
    return True


def _is_abandoned(temporary: Path) -> bool:
    try:
        if time.time() - temporary.stat().st_mtime < ABANDONED_SECONDS:
            return False
        descriptor = os.open(temporary, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
