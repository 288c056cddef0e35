"""The pointer and what is kept: every command, and every way in which a file can be damaged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.bundles import archive as kept_module
from pipeline.bundles.archive import archive_bundle, archived_versions, prune, version_of
from pipeline.bundles.bundle import verify_bundle
from pipeline.bundles.release_pointer import POINTER, PointerError, read_pointer
from pipeline.contracts.errors import BundleError, DeploymentError
from pipeline.contracts.params import CanaryParams
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_releases import fake_place, write_fake

RULES = CanaryParams(minimum_requests=10, false_stop_probability=0.01, maximum_slowdown=1.5)
ROOT = Path(__file__).parents[4]


@pytest.fixture
def place(tmp_path: Path) -> ReleaseStore:
    return fake_place(tmp_path)


@pytest.fixture
def old(place: ReleaseStore) -> str:
    return version_of(place.deployed)


@pytest.fixture
def new(tmp_path: Path) -> str:
    return write_fake(tmp_path / "new", "new")


def test_without_a_pointer_the_deployed_bundle_is_the_champion(
    place: ReleaseStore, old: str
) -> None:
    assert place.pointer().champion == old
    assert place.bundle(old) == place.deployed


def test_a_promoted_folder_is_kept_and_the_old_champion_too(
    place: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    pointer = changes.promote(str(tmp_path / "new"), place)
    assert (pointer.champion, pointer.previous) == (new, old)
    assert place.pointer() == pointer
    assert set(archived_versions(place.folder)) == {old, new}
    assert verify_bundle(place.bundle(new))["version"] == new


def test_rollback_goes_back_and_a_second_one_undoes_it(
    place: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    changes.promote(str(tmp_path / "new"), place)
    assert changes.rollback(place).champion == old
    assert changes.rollback(place).champion == new


def test_a_newer_deployment_answers_and_rollback_goes_to_what_answered_before(
    place: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.promote(str(tmp_path / "new"), place)
    place.deployed.rename(tmp_path / "replaced")
    newest = write_fake(place.deployed, "newest")
    pointer = place.pointer()
    assert (pointer.champion, pointer.previous) == (newest, new)
    assert changes.rollback(place).champion == new
    assert changes.rollback(place).champion == newest


def test_a_newer_deployment_ends_shadow_and_canary(
    place: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.set_shadow(str(tmp_path / "new"), place)
    changes.set_canary(new, 0.1, RULES, place)
    place.deployed.rename(tmp_path / "replaced")
    write_fake(place.deployed, "newest")
    assert place.pointer().shadow is None
    assert place.pointer().canary is None


def test_there_is_nothing_to_roll_back_to_at_first(place: ReleaseStore) -> None:
    with pytest.raises(DeploymentError, match="previous champion"):
        changes.rollback(place)


def test_the_champion_cannot_be_promoted_or_tried_on_itself(place: ReleaseStore, old: str) -> None:
    for change in (
        lambda: changes.promote(old, place),
        lambda: changes.set_shadow(old, place),
        lambda: changes.set_canary(old, 0.1, RULES, place),
    ):
        with pytest.raises(DeploymentError, match=old):
            change()
    assert not (place.folder / POINTER).exists()


def test_a_promotion_ends_the_canary_and_its_own_shadow(
    place: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.set_shadow(str(tmp_path / "new"), place)
    changes.set_canary(new, 0.1, RULES, place)
    pointer = changes.promote(new, place)
    assert (pointer.champion, pointer.shadow, pointer.canary) == (new, None, None)


def test_a_canary_keeps_the_rules_that_it_was_started_with(
    place: ReleaseStore, new: str, tmp_path: Path
) -> None:
    changes.set_canary(str(tmp_path / "new"), 0.25, RULES, place)
    canary = place.pointer().canary
    assert canary is not None
    assert (canary.version, canary.share, canary.minimum_requests) == (new, 0.25, 10)
    assert changes.set_canary(None, 0.25, RULES, place).canary is None


def test_shadow_starts_and_stops(place: ReleaseStore, new: str, tmp_path: Path) -> None:
    assert changes.set_shadow(str(tmp_path / "new"), place).shadow == new
    assert changes.set_shadow(None, place).shadow is None


@pytest.mark.parametrize("name", ["aaaaaaaaaaaa", "../new", "nowhere"])
def test_an_unknown_version_changes_nothing(place: ReleaseStore, name: str) -> None:
    with pytest.raises(BundleError, match="kept are: none"):
        changes.promote(name, place)
    assert not (place.folder / POINTER).exists()


def test_a_damaged_bundle_is_not_promoted(place: ReleaseStore, new: str, tmp_path: Path) -> None:
    (tmp_path / "new" / "behaviour.json").write_text("{}")
    with pytest.raises(BundleError, match=r"behaviour\.json"):
        changes.promote(str(tmp_path / "new"), place)
    assert place.pointer().change == 0
    assert archived_versions(place.folder) == []


def test_a_version_that_is_no_version_never_becomes_a_path(
    place: ReleaseStore, tmp_path: Path
) -> None:
    write_fake(tmp_path / "evil", "evil")
    manifest = json.loads((tmp_path / "evil" / "manifest.json").read_text())
    manifest["version"] = "../../outside"
    (tmp_path / "evil" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="hexadecimal"):
        changes.promote(str(tmp_path / "evil"), place)


def test_a_kept_copy_that_was_damaged_is_not_rolled_back_to(
    place: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    changes.promote(str(tmp_path / "new"), place)
    (place.folder / old / "behaviour.json").write_text("{}")
    with pytest.raises(BundleError, match=r"behaviour\.json"):
        changes.rollback(place)
    assert place.pointer().champion == new


def test_a_kept_copy_that_was_damaged_is_made_anew_from_a_good_one(
    place: ReleaseStore, new: str, tmp_path: Path
) -> None:
    archive_bundle(tmp_path / "new", place.folder)
    (place.folder / new / "behaviour.json").write_text("{}")
    archive_bundle(tmp_path / "new", place.folder)
    assert verify_bundle(place.folder / new)["version"] == new


@pytest.mark.parametrize("text", ["", "{", '{"change": 1', "[]", '{"champion": "x"}', "\x00\xff"])
def test_a_damaged_pointer_is_an_error_that_says_what_to_do(place: ReleaseStore, text: str) -> None:
    place.folder.mkdir()
    (place.folder / POINTER).write_text(text, encoding="latin-1")
    with pytest.raises(PointerError, match="Delete it"):
        place.pointer()


def test_promote_replaces_a_damaged_pointer(
    place: ReleaseStore, old: str, new: str, tmp_path: Path
) -> None:
    place.folder.mkdir()
    (place.folder / POINTER).write_text("{")
    pointer = changes.promote(str(tmp_path / "new"), place)
    assert (pointer.champion, pointer.previous) == (new, old)


def test_a_change_is_newer_than_that_of_a_pointer_that_was_deleted(
    place: ReleaseStore, new: str, tmp_path: Path
) -> None:
    first = changes.promote(str(tmp_path / "new"), place)
    (place.folder / POINTER).unlink()
    assert changes.set_shadow(new, place).change >= first.change
    assert changes.set_shadow(None, place).change > first.change


def test_old_bundles_go_but_those_in_use_stay(place: ReleaseStore, tmp_path: Path) -> None:
    versions = []
    for number in range(6):
        versions.append(write_fake(tmp_path / str(number), str(number)))
        archive_bundle(tmp_path / str(number), place.folder)
        os.utime(place.folder / versions[-1], (number, number))
    assert archived_versions(place.folder) == versions[::-1]
    assert prune(place.folder, {versions[0]}, n_kept=3) == [versions[2], versions[1]]
    assert archived_versions(place.folder) == [versions[5], versions[4], versions[3], versions[0]]
    assert kept_module.N_KEPT >= 2


KILLED = """
import sys, time
from pathlib import Path
from pipeline.bundles import archive
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import Place
root, moment = Path(sys.argv[1]), sys.argv[2]
def hang(*_, **__):
    print("now", flush=True)
    time.sleep(600)
if moment == "copy":
    archive.shutil.copytree = hang
else:
    changes.write_pointer = hang
changes.promote(str(root / "new"), Place(root / "releases", root / "champion"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["copy", "pointer"])
def test_killed_in_the_middle_a_promotion_changed_nothing_and_can_be_done_again(
    place: ReleaseStore, old: str, new: str, tmp_path: Path, moment: str
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), moment]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert read_pointer(place.folder) is None
    assert place.pointer().champion == old
    assert all(verify_bundle(place.folder / version) for version in archived_versions(place.folder))
    started = time.monotonic()
    assert changes.promote(str(tmp_path / "new"), place).champion == new
    assert time.monotonic() - started < 60  # the dead one's lock is not waited for
    assert not list(place.folder.glob(".*.tmp"))
    assert changes.rollback(place).champion == old
