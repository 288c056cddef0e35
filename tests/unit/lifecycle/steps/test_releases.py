import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.bundles.release_pointer import resolve_pointer, write_pointer
from pipeline.contracts.errors import DeploymentError
from pipeline.contracts.repairs import RollBack
from pipeline.lifecycle.errors import ConflictError, RefusedStepError, StorageError
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.loop.attempts import undo
from pipeline.lifecycle.loop.loop import ExitCode, Loop
from pipeline.lifecycle.steps import releases, step
from pipeline.lifecycle.steps.step import MONITOR, REPRO
from pipeline.serving.commands import common
from pipeline.serving.releases import changes, worker_state
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.worker_state import WorkerState, write_state
from tests.support.fake_cycles import (
    SICK,
    WELL,
    FakeCycles,
    Shop,
    build_repair,
    write_project,
)
from tests.support.fake_releases import write_fake

STORE = ReleaseStore()


@pytest.fixture(autouse=True)
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the old and the new champion of a project with both bundles."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    monkeypatch.setattr(common, "update_alias", lambda _: None)  # MLflow takes seconds to import
    old = write_fake(STORE.deployed, "old")
    new = write_fake(tmp_path / "new", "new")
    changes.promote(str(tmp_path / "new"), STORE)
    return old, new


def champion() -> str:
    return STORE.read_pointer().champion


def test_a_rollback_and_its_undoing(versions: tuple[str, str]) -> None:
    old, new = versions
    effect = step.prepare(RollBack())
    assert not step.is_applied(effect)
    step.apply(effect)
    assert (champion(), step.is_applied(effect)) == (old, True)
    step.revert(effect)
    assert (champion(), step.is_applied(effect)) == (new, False)
    step.revert(effect)
    assert champion() == new


def test_the_loop_measures_a_rollback_by_monitoring_and_undoes_it(
    versions: tuple[str, str],
) -> None:
    old, new = versions
    served = []

    def rule(_: object) -> Shop:
        served.append(champion())
        return replace(SICK, repairs=(build_repair(RollBack()),))

    runner = FakeCycles(rule)
    assert Loop(runner, Journal()).run().code == ExitCode.NOTHING_HELPED
    assert runner.commands == [REPRO, MONITOR, MONITOR, REPRO]
    assert served == [new, old, new, new]


def test_the_loop_keeps_a_rollback_that_heals(versions: tuple[str, str]) -> None:
    old, new = versions
    sick = replace(SICK, repairs=(build_repair(RollBack()),))
    runner = FakeCycles(lambda _: WELL if champion() == old else sick)
    assert Loop(runner, Journal()).run().code == ExitCode.HEALTHY
    assert champion() == old
    undo(1, Journal())
    assert champion() == new


def test_a_rollback_without_effect_is_a_failure(
    versions: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, new = versions
    monkeypatch.setattr(changes, "rollback", lambda store: store.read_pointer())
    effect = step.prepare(RollBack())
    with pytest.raises(RefusedStepError, match=f"after the rollback, got {new}"):
        step.apply(effect)
    outcome = Loop(
        FakeCycles(lambda _: replace(SICK, repairs=(build_repair(RollBack()),))), Journal()
    ).run()
    assert outcome.code == ExitCode.QUESTION
    assert f"after the rollback, got {new}" in outcome.message
    attempt = Journal().find(1)
    assert attempt.state == "failed"
    assert not attempt.is_applied


def test_a_full_disk_leaves_the_champion(
    versions: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    effect = step.prepare(RollBack())
    monkeypatch.setattr(changes, "write_pointer", fail)
    with pytest.raises(StorageError, match="No space left on device"):
        step.apply(effect)
    assert champion() == versions[1]


def test_no_previous_champion_is_refused() -> None:
    shutil.rmtree(STORE.folder)
    with pytest.raises(RefusedStepError, match="a previous champion to roll back to, got none"):
        step.prepare(RollBack())


def test_a_service_that_refuses_the_version_gets_the_old_one_back(
    versions: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = versions
    refused = {old: "it does not match its manifest"}
    write_state(WorkerState(change=2**60, champion=new, refused=refused), STORE.folder)
    with pytest.raises(DeploymentError, match="a refusal: it does not match its manifest"):
        step.apply(step.prepare(RollBack()))
    assert champion() == new
    worker_state.remove_state(STORE.folder)


def test_a_version_that_someone_promoted_meanwhile_stays(
    versions: tuple[str, str], tmp_path: Path
) -> None:
    effect = step.prepare(RollBack())
    step.apply(effect)
    third = write_fake(tmp_path / "third", "third")
    changes.promote(str(tmp_path / "third"), STORE)
    with pytest.raises(ConflictError, match=f"got {third} .before the rollback: {versions[1]}"):
        step.revert(effect)
    assert champion() == third


def test_a_deployment_meanwhile_is_a_conflict_too(versions: tuple[str, str]) -> None:
    effect = step.prepare(RollBack())
    shutil.rmtree(STORE.deployed)
    deployed = write_fake(STORE.deployed, "deployed")
    write_pointer(resolve_pointer(STORE.read_pointer(), deployed), STORE.folder)
    with pytest.raises(ConflictError):
        releases.is_rolled_back(effect)  # type: ignore[arg-type]
