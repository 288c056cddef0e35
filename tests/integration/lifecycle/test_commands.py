"""The commands of the loop, as a user types them; once with a real `dvc repro`."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from pipeline.contracts.params import read_params
from pipeline.lifecycle.ledger.ledger_file import LEDGER
from pipeline.lifecycle.loop.lock import WATCH_LOCK
from tests.support.dvc_project import call, start, write_dvc_project, write_fake_dvc_project

SECONDS = 120


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_fake_dvc_project(tmp_path)
    return tmp_path


@contextmanager
def running(project: Path, *arguments: str, **environment: str) -> Iterator[Popen[str]]:
    """A command that is killed with its children if the test fails."""
    with start(project, *arguments, **environment) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_loop_from_the_fault_to_the_undoing_with_a_real_dvc(tmp_path: Path) -> None:
    project = tmp_path
    write_dvc_project(project)
    before = (project / "params.yaml").read_text(encoding="utf-8")
    code, text = call(project, "run")
    assert code == 0, text
    assert "Running stage 'monitoring'" in text  # the output of DVC is streamed
    assert "Attempt 1 is undone: monitoring returns or stops as before." in text
    assert "Attempt 2 is kept: every verdict proceeds or is accepted." in text
    after = (project / "params.yaml").read_text(encoding="utf-8")
    assert after == before.replace('as_of: "2017-12-04"', 'as_of: "2017-12-11"')

    code, text = call(project, "ledger")
    assert code == 0
    assert [line.split()[4:6] for line in text.splitlines() if line[0].isdigit()] == [
        ["aged", "undone"],
        ["aged", "kept"],
    ]
    code, text = call(project, "run", "--dry-run")
    assert (code, "nothing to repair" in text) == (0, True)

    code, text = call(project, "undo", "2")
    assert (code, "Run `uv run dvc repro`" in text.replace(".uv/bin/", "")) == (0, True), text
    assert (project / "params.yaml").read_text(encoding="utf-8") == before
    code, text = call(project, "undo", "2")
    assert (code, "got 'undone' as its last entry" in text) == (1, True)


def test_a_killed_loop_leaves_its_dvc_the_lock_and_its_state_to_the_next(project: Path) -> None:
    with running(project, "run", WAIT="yes") as loop:
        wait_for(project / "waiting")
        (child,) = psutil.Process(loop.pid).children()
        os.kill(loop.pid, signal.SIGKILL)
        loop.wait(SECONDS)
        code, text = call(project, "run")
        assert (code, f"got process {loop.pid}, or" in text) == (1, True), text
        child.kill()
        loop.communicate()
    code, text = call(project, "run")
    assert code == 0, text
    assert str(read_params(project / "params.yaml").shop.as_of) == "2017-12-11"


def test_sigterm_ends_the_watch_after_the_cycle_at_work(project: Path) -> None:
    with running(project, "watch", "--every", "60") as watch:
        wait_for(project / LEDGER)
        os.kill(watch.pid, signal.SIGTERM)
        output, _ = watch.communicate(timeout=SECONDS)
    assert watch.returncode == 0, output
    assert "stopped: Stopped." in output
    assert output.rstrip().endswith("The watch has ended.")
    code, text = call(project, "run")
    assert code == 0, text
    assert "Attempt 1 is taken up" in text


def test_a_second_watch_is_refused(project: Path) -> None:
    with running(project, "watch", "--every", "60") as watch:
        wait_for(project / WATCH_LOCK)
        code, text = call(project, "watch", "--every", "60")
        assert (code, f"got process {watch.pid}" in text) == (1, True), text


def test_a_damaged_ledger_stops_the_loop_before_any_change(project: Path) -> None:
    path = project / LEDGER
    path.parent.mkdir(parents=True)
    path.write_text("{}\n{}\n", encoding="utf-8")
    before = (project / "params.yaml").read_bytes()
    for command in (("run",), ("ledger",), ("undo", "1"), ("answer", "1", "done")):
        code, text = call(project, *command)
        assert (code, "line 1 of 'data/lifecycle/ledger.jsonl'" in text) == (1, True), text
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / "reports").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--max-cycles", "0"),
        ("run", "--budget-minutes", "-1"),
        ("run", "--budget-minutes", "nan"),
        ("watch",),
        ("watch", "--every", "0"),
        ("undo", "first"),
        ("answer", "1"),
    ],
)
def test_a_wrong_command_line_is_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, text = call(tmp_path, *arguments)
    assert (code, "usage:" in text) == (2, True)


def test_the_help_names_the_exit_codes(tmp_path: Path) -> None:
    code, text = call(tmp_path, "run", "--help")
    assert code == 0
    for number in (0, 1, 3, 4, 5, 130):
        assert f"\n  {number:<3}  " in text
