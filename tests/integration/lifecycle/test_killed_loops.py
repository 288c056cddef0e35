"""The loop killed at every point between its writes: the next run takes the state up."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.params import Params, read_params
from pipeline.lifecycle.ledger import journal as journal_module
from pipeline.lifecycle.ledger.entries import group_attempts
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.ledger.ledger_file import append_entry, read_ledger
from pipeline.lifecycle.loop.lock import hold_lock
from pipeline.lifecycle.loop.loop import ExitCode, Loop
from pipeline.lifecycle.steps import params_file
from tests.support.fake_cycles import (
    REFIT,
    SICK,
    FakeCycles,
    Shop,
    heals_by,
    set_key,
    write_cycle,
    write_project,
)

pytestmark = pytest.mark.slow

WORSE = set_key("families.ranker.epochs", 3, expected_gain=0.5, cost_minutes=1.0)
RULE = heals_by("shop.as_of", "2017-12-11", sick=replace(SICK, repairs=(WORSE, REFIT)))
MOST = 200


class Killer:
    """Kills its process at the n-th point that it passes."""

    def __init__(self, point: int) -> None:
        self.left = point

    def point(self) -> None:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a point before it and one after it."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.point()
            value = function(*args, **kwargs)
            self.point()
            return value

        return wrapped


def run_in_a_child(killer: Killer, rule: Callable[[Params], Shop]) -> int:
    """Run the loop in a forked process; return its exit code, or minus the signal."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 99
    try:
        journal_module.append_entry = killer.around(append_entry)
        params_file._write = killer.around(params_file._write)

        def torn(shop: Shop) -> Shop:
            write_cycle(replace(shop, trouble="planning"))  # a part of the stages has run
            killer.point()
            return shop

        runner = killer.around(FakeCycles(lambda params: torn(rule(params))))
        with hold_lock():
            code = Loop(runner, Journal()).run().code
    finally:
        os._exit(code)
    return 0


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return params.yaml after a loop that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project(folder)
        assert run_in_a_child(Killer(MOST), RULE) == ExitCode.HEALTHY
        return (folder / "params.yaml").read_bytes()


def test_a_loop_that_is_killed_anywhere_ends_as_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: bytes
) -> None:
    killed = []
    for point in range(MOST):
        folder = tmp_path / str(point)
        folder.mkdir()
        monkeypatch.chdir(folder)
        write_project(folder)
        code = run_in_a_child(Killer(point), RULE)
        if code != -signal.SIGKILL:
            assert code == ExitCode.HEALTHY
            break
        read_params()  # never half-written
        attempts = group_attempts(read_ledger().entries)
        killed.append(attempts[-1].state if attempts else "before any attempt")
        assert Loop(FakeCycles(RULE), Journal()).run().code == ExitCode.HEALTHY
        assert (folder / "params.yaml").read_bytes() == expected, (point, killed[-1])
        states = [a.state for a in group_attempts(read_ledger().entries)]
        assert states == ["undone", "kept"], (point, killed[-1])
    assert len(killed) > 30
    # Every state from which a run goes on was met.
    assert set(killed) >= {
        "before any attempt", "proposed", "applying", "applied", "measured", "undoing", "undone",
        "kept",
    }  # fmt: skip


def test_a_loop_that_is_killed_again_and_again_still_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        assert len(codes) < MOST
        codes.append(run_in_a_child(Killer(7), RULE))
    assert codes[-1] == ExitCode.HEALTHY
    assert len(codes) > 2
    assert (tmp_path / "params.yaml").read_bytes() == expected
