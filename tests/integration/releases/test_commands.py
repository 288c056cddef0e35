"""The release commands, with and without a running service."""

import json
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.serving.commands import canary as canary_command
from pipeline.serving.commands import compare, promote, releases, rollback
from pipeline.serving.commands import shadow as shadow_command
from pipeline.serving.releases import changes, worker_state
from pipeline.serving.releases.store import ReleaseStore
from tests.support.release_service import ReleaseService


def test_the_commands_work_when_no_service_runs(
    project: ReleaseStore, make: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make("new")
    assert promote.main([bundle]) == 0
    assert "No service runs" in capsys.readouterr().out
    assert rollback.main([]) == 0
    new = str(project.read_pointer().previous)
    assert shadow_command.main([new]) == 0
    assert canary_command.main([new, "--share", "0.1"]) == 0
    capsys.readouterr()
    assert releases.main([]) == 0
    printed = capsys.readouterr().out
    assert f"shadow    {new}" in printed
    assert "10.0% of users" in printed
    assert "no service" in printed
    assert shadow_command.main(["--stop"]) == 0
    assert canary_command.main(["--stop"]) == 0
    assert project.read_pointer().canary is None


@pytest.mark.parametrize("share", ["0", "0.6", "-1", "many", "nan"])
def test_a_share_that_makes_no_sense_is_refused(project: ReleaseStore, share: str) -> None:
    with pytest.raises(SystemExit):
        canary_command.main(["aaaaaaaaaaaa", "--share", share])


def test_a_command_says_after_how_many_seconds_the_running_service_followed(
    project: ReleaseStore, make: Callable[..., str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = ReleaseService(project, url)
    service.watcher.start()
    try:
        wait_for_worker(project)
        assert promote.main([make("new")]) == 0
        assert "The running service followed within" in capsys.readouterr().out
        assert service.version() == project.read_pointer().champion
        assert releases.main([]) == 0
        assert f"serves {project.read_pointer().champion}" in capsys.readouterr().out
    finally:
        service.close()
    assert worker_state.read_workers(project.folder) == {}


def wait_for_worker(release_store: ReleaseStore) -> None:
    done = threading.Event()
    for _ in range(600):
        if worker_state.read_workers(release_store.folder):
            return
        done.wait(0.1)
    raise AssertionError("the service never wrote its state")


@pytest.fixture
def old_worker(project: ReleaseStore) -> Path:
    path = project.folder / worker_state.WORKERS / "elsewhere-7.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"change": 1, "champion": "aaaaaaaaaaaa"}')
    before = (datetime.now(UTC) - timedelta(minutes=5)).timestamp()
    os.utime(path, (before, before))
    return path


def test_a_service_that_was_killed_is_not_waited_for(
    project: ReleaseStore, old_worker: Path
) -> None:
    assert (
        worker_state.wait_until_followed(project.folder, 10**12, None, timeout_seconds=60) is None
    )
    worker_state.remove_state(project.folder)
    assert not old_worker.exists()


def test_a_service_that_does_not_follow_is_named(project: ReleaseStore, old_worker: Path) -> None:
    old_worker.touch()
    with pytest.raises(Exception, match="elsewhere-7"):
        worker_state.wait_until_followed(project.folder, 2, None, timeout_seconds=0.2)


def test_the_report_compares_the_shadow_with_what_was_shown(
    project: ReleaseStore, make: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{Path.cwd() / 'data' / 'events.db'}"
    service = ReleaseService(project, url)
    shadow = changes.set_shadow(make("new", reversed=True), project).shadow
    service.watcher.poll()
    for number in range(10):
        service.ask(f"user{number}")
    service.close()
    assert compare.main(["--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["shadow"] == shadow
    assert (numbers["requests_compared"], numbers["failed_fraction"]) == (10, 0.0)
    assert (numbers["overlap@1"], numbers["overlap@5"], numbers["same_fraction"]) == (0.0, 1.0, 0.0)
    # Three items reversed: 0 of 1, 1 of 2, 3 of 3.
    assert numbers["rank_agreement"] == pytest.approx((0 + 1 / 2 + 1) / 3)
    assert compare.main([]) == 0
    assert "overlap@10" in capsys.readouterr().out


def test_without_a_shadow_there_is_nothing_to_compare(
    project: ReleaseStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(Exception, match="no shadow"):
        compare.main([])
