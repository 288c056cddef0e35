from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.contracts.errors import ParamsError
from pipeline.contracts.params import read_params
from pipeline.contracts.repairs import Change, EditParams, FileCopy, Rerun
from pipeline.lifecycle.errors import ConflictError, RefusedStepError
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.loop.loop import ExitCode, Loop
from pipeline.lifecycle.steps import copies, step
from pipeline.lifecycle.steps.step import REPRO, force_stage
from tests.support.fake_cycles import (
    SICK,
    WELL,
    FakeCycles,
    Shop,
    build_repair,
    write_project,
)

SOURCE = Path("data/monitoring/proposed/user_id-2017-12-04.csv")
TARGET = Path("data/corrections/user_id-2017-12-04.csv")
MEMBER = {"kind": "rename", "column": "user_id", "file": str(TARGET), "from": "2017-12-04"}
RENAME = EditParams(
    changes=(Change(key="collection.corrections", operation="append", value=MEMBER),),
    files=(FileCopy(source=str(SOURCE), target=str(TARGET)),),
)
MAP = "old,new\n1,2\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    SOURCE.parent.mkdir(parents=True)
    SOURCE.write_text(MAP)


def test_a_declared_correction_and_its_file_come_and_go_together() -> None:
    before = Path("params.yaml").read_text()
    effect = step.prepare(RENAME)
    assert not TARGET.exists()
    step.apply(effect)
    assert TARGET.read_text() == MAP
    assert len(read_params().collection.corrections) == 1
    assert step.is_applied(effect)
    step.revert(effect)
    assert not TARGET.exists()
    assert Path("params.yaml").read_text() == before
    assert SOURCE.read_text() == MAP


def test_two_corrections_and_a_quarantine_are_undone_in_any_order() -> None:
    before = Path("params.yaml").read_text()
    members = [
        ("collection.corrections", {"kind": "scale", "column": "price", "factor": 0.01}),
        ("collection.corrections", {"kind": "shift", "hours": -5, "from": "2017-12-04"}),
        ("collection.quarantined", {"from": "2017-12-04", "to": "2017-12-05", "because": "torn"}),
    ]
    effects = []
    for key, member in members:
        change = Change(key=key, operation="append", value=member)  # type: ignore[arg-type]
        effects.append(step.prepare(EditParams(changes=(change,))))
        step.apply(effects[-1])
    lines = Path("params.yaml").read_text().splitlines()
    assert len(lines) == len(before.splitlines())
    assert any(
        line.startswith("  quarantined: [{from: '2017-12-04', to: '2017-12-05', because: torn}]")
        for line in lines
    )
    params = read_params().collection
    assert (len(params.corrections), len(params.quarantined)) == (2, 1)
    for n in (0, 2, 1):
        step.revert(effects[n])
    assert Path("params.yaml").read_text() == before


def test_a_step_that_was_killed_after_the_copy_is_applied_and_undone() -> None:
    effect = step.prepare(RENAME)
    assert effect.kind == "params"
    copies.write_copies(effect.files)
    assert not step.is_applied(effect)
    SOURCE.unlink()  # the copy is whole: its source is not needed again
    step.apply(effect)
    assert step.is_applied(effect)
    step.revert(effect)
    assert not TARGET.exists()


def test_a_step_that_was_killed_before_params_leaves_no_copy_behind() -> None:
    effect = step.prepare(RENAME)
    assert effect.kind == "params"
    copies.write_copies(effect.files)
    step.revert(effect)
    assert not TARGET.exists()


def test_a_missing_source_or_an_existing_target_is_refused() -> None:
    TARGET.parent.mkdir()
    TARGET.write_text("another map")
    with pytest.raises(RefusedStepError, match="no file 'data/corrections/user_id-2017-12-04"):
        step.prepare(RENAME)
    TARGET.unlink()
    SOURCE.unlink()
    with pytest.raises(RefusedStepError, match="that the repair proposes, got no such file"):
        step.prepare(RENAME)


def test_a_source_that_was_proposed_anew_meanwhile_is_not_copied() -> None:
    effect = step.prepare(RENAME)
    SOURCE.write_text("old,new\n1,3\n")
    before = Path("params.yaml").read_text()
    with pytest.raises(RefusedStepError, match="as it was proposed"):
        step.apply(effect)
    assert not TARGET.exists()
    assert Path("params.yaml").read_text() == before


def test_a_step_that_params_no_longer_allow_leaves_no_copy_behind() -> None:
    effect = step.prepare(RENAME)
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("  seed: 20171204", "  seed: -1"))
    with pytest.raises(ParamsError):
        step.apply(effect)
    assert not TARGET.exists()


def test_a_copy_that_someone_changed_is_left_alone() -> None:
    effect = step.prepare(RENAME)
    step.apply(effect)
    TARGET.write_text("old,new\n1,9\n")
    before = Path("params.yaml").read_text()
    with pytest.raises(ConflictError, match="as the step copied it"):
        step.revert(effect)
    assert TARGET.read_text() == "old,new\n1,9\n"
    assert Path("params.yaml").read_text() == before


def test_a_rerun_runs_its_stage_and_what_follows() -> None:
    sick = replace(SICK, repairs=(build_repair(Rerun(stage="labeling")),))
    healed: list[int] = []

    def rule(_: object) -> Shop:
        healed.append(1)
        return WELL if len(healed) > 1 else sick

    runner = FakeCycles(rule)
    assert Loop(runner, Journal()).run().code == ExitCode.HEALTHY
    assert runner.commands == [REPRO, force_stage("labeling"), REPRO]
    assert Journal().find(1).state == "kept"


def test_a_rerun_that_does_not_help_takes_nothing_back() -> None:
    sick = replace(SICK, repairs=(build_repair(Rerun(stage="labeling")),))
    runner = FakeCycles(lambda _: sick)
    assert Loop(runner, Journal()).run().code == ExitCode.NOTHING_HELPED
    assert runner.commands == [REPRO, force_stage("labeling"), REPRO, REPRO]
    assert Journal().find(1).state == "undone"
