import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.contracts.repairs import Restart
from pipeline.lifecycle.errors import RefusedStepError
from pipeline.lifecycle.steps import restart, step
from tests.support.fake_cycles import write_project

RUNNING = Path("models/releases/running")
STATE = '{"change": 1, "champion": "aaaaaaaaaaaa"}'
# A supervisor that starts a worker again as BentoML does; `once` does not.
SUPERVISOR = """
import socket, subprocess, sys, time
from pathlib import Path
running = Path("models/releases/running")
running.mkdir(parents=True, exist_ok=True)
while True:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "bentoml"])
    state = running / f"{socket.gethostname()}-{worker.pid}.json"
    state.write_text('{"change": 1, "champion": "aaaaaaaaaaaa"}')
    worker.wait()
    if "once" in sys.argv:
        break
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)


@pytest.fixture
def supervisor(request: pytest.FixtureRequest) -> Iterator[psutil.Process]:
    words = getattr(request, "param", "")
    process = psutil.Popen([sys.executable, "-c", SUPERVISOR, words])
    deadline = time.monotonic() + 20
    while not process.children() or not list(RUNNING.glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    tree = [process, *process.children(recursive=True)]
    for member in tree:
        member.kill()
    psutil.wait_procs(tree, timeout=10)


def test_a_restart_replaces_the_worker(supervisor: psutil.Process) -> None:
    (before,) = supervisor.children()
    effect = step.prepare(Restart())
    assert restart.find_workers() == (before.pid,)
    assert not step.is_applied(effect)
    step.apply(effect)
    (after,) = restart.find_workers()
    assert after != before.pid
    assert step.is_applied(effect)
    step.revert(effect)
    assert restart.find_workers() == (after,)


@pytest.mark.parametrize("supervisor", ["once"], indirect=True)
def test_a_worker_that_does_not_come_back_is_a_failure(supervisor: psutil.Process) -> None:
    with pytest.raises(RefusedStepError, match="a new worker within 0 s of the end of worker"):
        restart.replace_workers(restart.find_workers(), 0.3)


def test_no_service_is_a_precondition_that_is_not_met() -> None:
    with pytest.raises(RefusedStepError, match=r"a running service on this machine .* got none"):
        step.prepare(Restart())


def test_a_process_that_is_not_the_service_is_never_ended() -> None:
    RUNNING.mkdir(parents=True)
    with subprocess.Popen(["sleep", "30"]) as other:
        (RUNNING / f"{socket.gethostname()}-{other.pid}.json").write_text(STATE)
        (RUNNING / f"another-host-{other.pid}.json").write_text(STATE)
        with pytest.raises(RefusedStepError):
            step.prepare(Restart())
        assert other.poll() is None
        other.kill()
