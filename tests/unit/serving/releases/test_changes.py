"""The pointer and the archive: every command, and every kind of damaged file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.bundles import archive as archive_module
from pipeline.bundles.archive import archive_bundle, list_versions, prune_archive
from pipeline.bundles.bundle import verify_bundle
from pipeline.bundles.release_pointer import POINTER, PointerError, read_pointer
from pipeline.contracts.errors import BundleError, DeploymentError
from pipeline.contracts.params import CanaryParams
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_releases import write_fake

RULES = CanaryParams(minimum_requests=10, false_stop_probability=0.01, maximum_slowdown=1.5)
ROOT = Path(__file__).parents[4]


@pytest.fixture
def new(tmp_path: Path) -> str:
    return write_fake(tmp_path / "new", "new")


def test_without_a_pointer_the_deployed_bundle_is_the_champion(
    release_store: ReleaseStore, old: str
) -> None:
    assert release_store.read_pointer().champion == old
    assert release_store.bundle_path(old) == release_store.deployed


def test_a_promoted_folder_is_archived_and_the_old_champion_too(
    release_store: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    pointer = changes.promote(str(tmp_path / "new"), release_store)
    assert (pointer.champion, pointer.previous) == (new, old)
    assert release_store.read_pointer() == pointer
    assert set(list_versions(release_store.folder)) == {old, new}
    assert verify_bundle(release_store.bundle_path(new)).version == new


def test_rollback_goes_back_and_a_second_one_undoes_it(
    release_store: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    changes.promote(str(tmp_path / "new"), release_store)
    assert changes.rollback(release_store).champion == old
    assert changes.rollback(release_store).champion == new


def test_a_newer_deployment_answers_and_rollback_goes_to_what_answered_before(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.promote(str(tmp_path / "new"), release_store)
    release_store.deployed.rename(tmp_path / "replaced")
    newest = write_fake(release_store.deployed, "newest")
    pointer = release_store.read_pointer()
    assert (pointer.champion, pointer.previous) == (newest, new)
    assert changes.rollback(release_store).champion == new
    assert changes.rollback(release_store).champion == newest


def test_a_newer_deployment_ends_shadow_and_canary(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.set_shadow(str(tmp_path / "new"), release_store)
    changes.set_canary(new, 0.1, RULES, release_store)
    release_store.deployed.rename(tmp_path / "replaced")
    write_fake(release_store.deployed, "newest")
    assert release_store.read_pointer().shadow is None
    assert release_store.read_pointer().canary is None


def test_there_is_nothing_to_roll_back_to_at_first(release_store: ReleaseStore) -> None:
    with pytest.raises(DeploymentError, match="previous champion"):
        changes.rollback(release_store)


def test_the_champion_cannot_be_promoted_or_tried_on_itself(
    release_store: ReleaseStore, old: str
) -> None:
    for change in (
        lambda: changes.promote(old, release_store),
        lambda: changes.set_shadow(old, release_store),
        lambda: changes.set_canary(old, 0.1, RULES, release_store),
    ):
        with pytest.raises(DeploymentError, match=old):
            change()
    assert not (release_store.folder / POINTER).exists()


def test_a_promotion_ends_the_canary_and_its_own_shadow(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.set_shadow(str(tmp_path / "new"), release_store)
    changes.set_canary(new, 0.1, RULES, release_store)
    pointer = changes.promote(new, release_store)
    assert (pointer.champion, pointer.shadow, pointer.canary) == (new, None, None)


def test_a_canary_keeps_the_rules_that_it_was_started_with(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.set_canary(str(tmp_path / "new"), 0.25, RULES, release_store)
    canary = release_store.read_pointer().canary
    assert canary is not None
    assert (canary.version, canary.share, canary.minimum_requests) == (new, 0.25, 10)
    assert changes.set_canary(None, 0.25, RULES, release_store).canary is None


def test_shadow_starts_and_stops(release_store: ReleaseStore, new: str, tmp_path: Path) -> None:
    assert changes.set_shadow(str(tmp_path / "new"), release_store).shadow == new
    assert changes.set_shadow(None, release_store).shadow is None


@pytest.mark.parametrize("name", ["aaaaaaaaaaaa", "../new", "nowhere"])
def test_an_unknown_version_changes_nothing(release_store: ReleaseStore, name: str) -> None:
    with pytest.raises(BundleError, match="archived: none"):
        changes.promote(name, release_store)
    assert not (release_store.folder / POINTER).exists()


def test_a_damaged_bundle_is_not_promoted(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    (tmp_path / "new" / "behaviour.json").write_text("{}")
    with pytest.raises(BundleError, match=r"behaviour\.json"):
        changes.promote(str(tmp_path / "new"), release_store)
    assert release_store.read_pointer().change == 0
    assert list_versions(release_store.folder) == []


def test_a_version_that_is_no_version_never_becomes_a_path(
    release_store: ReleaseStore, tmp_path: Path
) -> None:
    write_fake(tmp_path / "evil", "evil")
    manifest = json.loads((tmp_path / "evil" / "manifest.json").read_text())
    manifest["version"] = "../../outside"
    (tmp_path / "evil" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="hexadecimal"):
        changes.promote(str(tmp_path / "evil"), release_store)


def test_a_damaged_archived_copy_is_not_rolled_back_to(
    release_store: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    changes.promote(str(tmp_path / "new"), release_store)
    (release_store.folder / old / "behaviour.json").write_text("{}")
    with pytest.raises(BundleError, match=r"behaviour\.json"):
        changes.rollback(release_store)
    assert release_store.read_pointer().champion == new


def test_a_damaged_archived_copy_is_replaced_by_a_good_one(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    archive_bundle(tmp_path / "new", release_store.folder)
    (release_store.folder / new / "behaviour.json").write_text("{}")
    archive_bundle(tmp_path / "new", release_store.folder)
    assert verify_bundle(release_store.folder / new).version == new


@pytest.mark.parametrize("text", ["", "{", '{"change": 1', "[]", '{"champion": "x"}', "\x00\xff"])
def test_a_damaged_pointer_is_an_error_that_says_what_to_do(
    release_store: ReleaseStore, text: str
) -> None:
    release_store.folder.mkdir()
    (release_store.folder / POINTER).write_text(text, encoding="latin-1")
    with pytest.raises(PointerError, match="Delete it"):
        release_store.read_pointer()


def test_promote_replaces_a_damaged_pointer(
    release_store: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    release_store.folder.mkdir()
    (release_store.folder / POINTER).write_text("{")
    pointer = changes.promote(str(tmp_path / "new"), release_store)
    assert (pointer.champion, pointer.previous) == (new, old)


def test_a_change_is_newer_than_that_of_a_pointer_that_was_deleted(
    release_store: ReleaseStore, new: str, tmp_path: Path
) -> None:
    first = changes.promote(str(tmp_path / "new"), release_store)
    (release_store.folder / POINTER).unlink()
    assert changes.set_shadow(new, release_store).change >= first.change
    assert changes.set_shadow(None, release_store).change > first.change


def test_old_bundles_go_but_those_in_use_stay(release_store: ReleaseStore, tmp_path: Path) -> None:
    versions = []
    for number in range(6):
        versions.append(write_fake(tmp_path / str(number), str(number)))
        archive_bundle(tmp_path / str(number), release_store.folder)
        os.utime(release_store.folder / versions[-1], (number, number))
    assert list_versions(release_store.folder) == versions[::-1]
    assert prune_archive(release_store.folder, {versions[0]}, n_newest=3) == [
        versions[2],
        versions[1],
    ]
    assert list_versions(release_store.folder) == [
        versions[5],
        versions[4],
        versions[3],
        versions[0],
    ]
    assert archive_module.N_ARCHIVED >= 2


KILLED = """
import sys, time
from pathlib import Path
from pipeline.bundles import archive
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import ReleaseStore
root, moment = Path(sys.argv[1]), sys.argv[2]
def hang(*_, **__):
    print("now", flush=True)
    time.sleep(600)
if moment == "copy":
    archive.shutil.copytree = hang
else:
    changes.write_pointer = hang
changes.promote(str(root / "new"), ReleaseStore(root / "releases", root / "champion"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["copy", "pointer"])
def test_killed_in_the_middle_a_promotion_changed_nothing_and_can_be_done_again(
    release_store: ReleaseStore, old: str, new: str, tmp_path: Path, moment: str
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), moment]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert read_pointer(release_store.folder) is None
    assert release_store.read_pointer().champion == old
    assert all(
        verify_bundle(release_store.folder / version)
        for version in list_versions(release_store.folder)
    )
    started = time.monotonic()
    assert changes.promote(str(tmp_path / "new"), release_store).champion == new
    assert time.monotonic() - started < 60  # the killed process released its lock
    assert not list(release_store.folder.glob(".*.tmp"))
    assert changes.rollback(release_store).champion == old
