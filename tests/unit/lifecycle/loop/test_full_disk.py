"""A full disk at each write of the loop: an error, and a state that the next run takes up."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.params import read_params
from pipeline.contracts.repairs import Ask
from pipeline.lifecycle.errors import StorageError
from pipeline.lifecycle.ledger import ledger_file
from pipeline.lifecycle.ledger.entries import group_attempts
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.ledger.ledger_file import read_ledger
from pipeline.lifecycle.loop import questions
from pipeline.lifecycle.loop.loop import ExitCode, Loop
from pipeline.lifecycle.steps import params_file
from tests.support.fake_cycles import SICK, FakeCycles, build_repair, heals_by, write_project

RULE = heals_by("families.ranker.epochs", 3)
N_LINES = 6  # of an attempt that is kept, and of the health that follows


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)


def fail(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def run() -> int:
    return Loop(FakeCycles(RULE), Journal()).run().code


@pytest.mark.parametrize("n_lines", range(N_LINES))
def test_the_ledger_cannot_grow(n_lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [n_lines]
    write = ledger_file._write_whole

    def write_until_full(descriptor: int, line: bytes, size: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            fail()
        write(descriptor, line, size)

    with monkeypatch.context() as full:
        full.setattr(ledger_file, "_write_whole", write_until_full)
        with pytest.raises(StorageError, match=r"to append to 'data/lifecycle/ledger.jsonl', got"):
            run()
    assert len(read_ledger().entries) == n_lines
    assert read_params().families.ranker.epochs == (3 if n_lines > 1 else 2)
    assert run() == ExitCode.HEALTHY
    assert [a.state for a in group_attempts(read_ledger().entries)] == ["kept"]
    assert read_params().families.ranker.epochs == 3


def test_params_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path("params.yaml").read_bytes()
    with monkeypatch.context() as full:
        full.setattr(params_file, "whole_file", fail)
        with pytest.raises(StorageError, match="nothing is written in part"):
            run()
    assert Path("params.yaml").read_bytes() == before
    assert group_attempts(read_ledger().entries)[0].state == "applying"
    assert run() == ExitCode.HEALTHY


def test_a_question_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    sick = replace(SICK, repairs=(build_repair(Ask(question="What now?")),))
    with monkeypatch.context() as full:
        full.setattr(questions, "whole_file", fail)
        with pytest.raises(StorageError, match=r"data/lifecycle/questions/1\.json"):
            Loop(FakeCycles(lambda _: sick), Journal()).run()
    assert Loop(FakeCycles(lambda _: sick), Journal()).run().code == ExitCode.QUESTION
    assert questions.read_question(1).answer is None
