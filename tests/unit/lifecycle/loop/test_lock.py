import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lifecycle.errors import LoopError
from pipeline.lifecycle.loop.lock import hold_lock


def test_the_second_loop_learns_the_process_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    with hold_lock(path), pytest.raises(LoopError, match=f"got process {os.getpid()}, or"):
        hold_lock(path).__enter__()
    with hold_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_the_lock_of_a_killed_loop_is_free_once_its_child_has_ended(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from pipeline.lifecycle.loop.lock import hold_lock\n"
        "with hold_lock(Path(sys.argv[1])) as lock:\n"
        "    subprocess.Popen(['cat'], pass_fds=(lock,))\n"
        "    print(os.getpid(), flush=True)\n"
        "    os._exit(9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as loop:
        assert loop.stdin is not None
        assert loop.stdout is not None
        pid = loop.stdout.readline().strip().decode()
        assert loop.wait() == 9
        with pytest.raises(LoopError, match=f"process {pid}, or the `uv run dvc repro` that it"):
            hold_lock(path).__enter__()
        loop.stdin.close()  # ends the child
        assert loop.stdout.read() == b""
    with path.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # waits until the child is gone
    with hold_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"
