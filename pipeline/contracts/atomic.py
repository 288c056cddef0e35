"""Atomic replacement of files and folders, which also survives a killed process.

Design choices:

- A file is written to a temporary name in the same folder, flushed to disk and renamed.
- A rename cannot replace a folder that is not empty. Linux and macOS swap two names in one step,
  so the name always stands for a complete folder.
- Some file systems (NFS, a few FUSE drivers) cannot swap. There, replacing takes two renames;
  between them the folder is named `.<name>.old`, and `restore` renames it back. Readers and writers
  of such a folder call `restore` first.
- A killed process leaves its temporary file or folder behind. The next writer of that name deletes
  it. A lock, which ends with the process, shows which temporary files are still in use.
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
ABANDONED_SECONDS = 60.0  # far longer than it takes to lock a new temporary name


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it.

    After any error, Ctrl-C included, `path` is unchanged and the temporary file is deleted.
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

    After any error, Ctrl-C included, `path` is unchanged and the temporary folder is deleted.
    A killed process leaves either the old or the new folder at `path`.
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
    """Swap two paths in one step.

    Returns:
        False if the file system or operating system does not support it; then nothing changes.

    Raises:
        OSError: If the swap is supported and fails.
    """
    names = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, RENAME_SWAP)
        else:
            failed = library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    except AttributeError:  # the C library lacks the call
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in CANNOT_SWAP:
        return False
    raise OSError(number, os.strerror(number), str(other))


def restore(path: Path) -> None:
    """Rename `.<name>.old` back, for `path` and its parents, if a process died between renames."""
    if _exists(path):
        return
    for folder in (*reversed(path.parents[:-1]), path):
        if not _exists(folder):
            with contextlib.suppress(OSError):  # no old folder, or its writer has finished
                _old(folder).rename(folder)


def sweep(path: Path) -> None:
    """Delete the temporary files and folders that killed processes left for `path`."""
    pattern = f".{glob.escape(path.name)}.*{TEMPORARY}"
    for abandoned in path.parent.glob(pattern):
        if _is_abandoned(abandoned):
            _remove(abandoned)


def _put(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`."""
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
        except OSError as error:  # a reader has just restored `path`
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
    except OSError:  # the lock is taken, or the file system has no locks
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
