"""An interrupted replacement leaves either the old or the new file or folder."""

import ctypes
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contracts import atomic
from pipeline.contracts.atomic import exchange, restore, sweep, whole_file, whole_folder
from tests.support.tiny_shop import PROJECT

# Replaces <folder>/champion, and is killed before step number `n` that touches the folder.
KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.contracts import atomic

folder, how, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
steps = 0

def kill(event, arguments):
    global steps
    if event.startswith(("open", "os.", "shutil.")) and str(folder) in str(arguments):
        steps += 1
        if steps == n:
            os.kill(os.getpid(), signal.SIGKILL)

if how == "in two steps":
    atomic.exchange = lambda *_: False
sys.addaudithook(kill)
with atomic.whole_folder(folder / "champion") as new:
    for name in ("model", "manifest"):
        (new / name).write_text("new")
"""
HOW = ("in one step", "in two steps")


def write(path: Path, text: str) -> None:
    with whole_folder(path) as folder:
        for name in ("model", "manifest"):
            (folder / name).write_text(text, encoding="utf-8")


def read(path: Path) -> list[str]:
    return [(path / name).read_text(encoding="utf-8") for name in ("model", "manifest")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(folder: Path, how: str, step: int) -> bool:
    """Return whether the replacing process was killed; it is not if it has fewer steps."""
    command = [sys.executable, "-c", KILLED, str(folder), how, str(step)]
    done = subprocess.run(command, cwd=PROJECT, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize("how", HOW)
def test_a_process_that_is_killed_at_any_step_leaves_the_old_folder_or_the_new(
    tmp_path: Path, how: str
) -> None:
    path, seen, gaps = tmp_path / "champion", [], 0
    for step in itertools.count(1):
        shutil.rmtree(tmp_path)
        write(path, "old")
        alive = not killed(tmp_path, how, step)
        gaps += not path.exists()
        restore(path)
        content = read(path)
        assert content in (["old", "old"], ["new", "new"]), step
        seen.append(content[0])
        if alive:
            break
    assert len(seen) > 15  # every file that is written and flushed, every rename, every removal
    assert seen == sorted(seen, reverse=True)  # the new one is never replaced by the old one
    assert {"old", "new"} == set(seen)
    assert gaps == HOW.index(how)  # in one step, the folder always exists


@pytest.mark.parametrize("how", HOW)
def test_the_next_writer_clears_away_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(atomic, "ABANDONED_SECONDS", 0.0)
    path = tmp_path / "champion"
    for step in range(4, 20, 3):
        write(path, "old")
        killed(tmp_path, how, step)
    write(path, "newest")
    assert read(path) == ["newest", "newest"]
    assert names(tmp_path) == ["champion"]


def test_what_somebody_still_writes_is_not_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "ABANDONED_SECONDS", 0.0)
    path, file = tmp_path / "champion", tmp_path / "plan.json"
    with whole_folder(path) as folder, whole_file(file) as temporary:
        sweep(path)
        sweep(file)
        assert folder.exists()
        assert temporary.exists()


def test_two_folders_are_swapped_in_one_step_here(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write(one, "1")
    write(other, "2")
    assert exchange(one, other)
    assert (read(one), read(other)) == (["2", "2"], ["1", "1"])


def test_a_swap_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"):
        exchange(tmp_path / "one", tmp_path / "other")


class Refusing:
    """A C library on a file system that cannot swap."""

    def renameat2(self, *_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    renamex_np = renameat2


@pytest.mark.parametrize("library", [Refusing(), object()])
def test_where_nothing_can_be_swapped_two_renames_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    path = tmp_path / "champion"
    for text in ("old", "new"):
        write(path, text)
    assert read(path) == ["new", "new"]
    assert names(tmp_path) == ["champion"]


def test_readers_that_restore_all_the_time_do_not_disturb_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "exchange", lambda *_: False)
    path, ending = tmp_path / "champion", threading.Event()
    write(path, "0")

    def restoring() -> None:
        while not ending.is_set():
            restore(path)

    reader = threading.Thread(target=restoring)
    reader.start()
    for number in range(50):
        write(path, str(number))
        assert read(path) == [str(number)] * 2
    ending.set()
    reader.join()


def test_a_link_is_replaced_and_what_it_named_stays(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "champion", tmp_path / "elsewhere"
    write(elsewhere, "linked")
    path.symlink_to(elsewhere)
    write(path, "new")
    assert (read(path), read(elsewhere)) == (["new", "new"], ["linked", "linked"])
    assert names(tmp_path) == ["champion", "elsewhere"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("what", ["os.fsync", "os.rename", "pathlib.Path.write_text"])
def test_a_full_disk_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, how: str
) -> None:
    path = tmp_path / "champion"
    write(path, "old")
    if how == "in two steps":
        monkeypatch.setattr(atomic, "exchange", lambda *_: False)
    elif what == "os.rename":
        what = "pipeline.contracts.atomic.exchange"
    with monkeypatch.context() as patch:
        patch.setattr(what, full)
        with pytest.raises(OSError, match="No space left"):
            write(path, "new")
    assert read(path) == ["old", "old"]
    assert names(tmp_path) == ["champion"]


def second_call(call: Callable[..., None]) -> Callable[..., None]:
    """Fail the second call only."""
    calls = itertools.count(1)

    def counted(*arguments: object) -> None:
        if next(calls) == 2:
            full()
        call(*arguments)

    return counted


def test_an_error_between_the_two_renames_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "champion"
    write(path, "old")
    monkeypatch.setattr(atomic, "exchange", lambda *_: False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", second_call(os.rename))
        with pytest.raises(OSError, match="No space left"):
            write(path, "new")
    assert read(path) == ["old", "old"]
    assert names(tmp_path) == ["champion"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "plan.json"
    path.write_text("whole", encoding="utf-8")
    with pytest.raises(type(error)), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half", encoding="utf-8")
        raise error
    assert path.read_text(encoding="utf-8") == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "champion"
    with whole_folder(path) as folder:
        (folder / "model").write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), whole_folder(path) as folder:  # noqa: PT012
        (folder / "model").write_text("new", encoding="utf-8")
        raise KeyboardInterrupt
    assert (path / "model").read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["champion"]


def test_a_new_folder_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "champion"
    for name in ("a", "b"):
        with whole_folder(path) as folder:
            (folder / name).write_text(name, encoding="utf-8")
    assert [file.name for file in path.iterdir()] == ["b"]
