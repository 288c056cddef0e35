"""Replacement of the champion and the data folders by a process that is killed midway."""

import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.bundles.archive import version_of
from pipeline.bundles.bundle import verify_bundle
from pipeline.bundles.release_pointer import read_pointer
from pipeline.contracts import artefacts
from pipeline.deployment import release
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import ReleaseStore
from tests.support import tiny_shop
from tests.support.fake_releases import write_fake

pytestmark = pytest.mark.slow

# Runs a statement, and is killed while `folder` is replaced: right after the swap, or where folders
# cannot be swapped, between the two renames.
KILLED = """
import os, signal, sys
from pipeline.contracts import atomic

statement, folder, how = sys.argv[1:]
rename, exchange = os.rename, atomic.exchange

def killed_rename(old, new):
    if str(new) == folder and os.path.exists(atomic._old(type(new)(folder))):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)

def killed_exchange(one, other):
    if how == "in two steps":
        return False
    swapped = exchange(one, other)
    if str(other) == folder:
        os.kill(os.getpid(), signal.SIGKILL)
    return swapped

os.rename, atomic.exchange = killed_rename, killed_exchange
exec(statement)
"""
HOW = ("in one step", "in two steps")
COLLECT = "from pipeline.collection.__main__ import main; sys.exit(main([]))"
LABEL = "from pipeline.labeling.__main__ import main; sys.exit(main([]))"
PROMOTE = "from pipeline.deployment.release import promote; promote()"


def kill_in_the_gap(statement: str, folder: str, how: str) -> None:
    command = [sys.executable, "-c", KILLED, statement, folder, how]
    done = subprocess.run(command, env={"PYTHONPATH": str(tiny_shop.PROJECT)}, check=False)
    assert done.returncode == -signal.SIGKILL


def run(statement: str) -> None:
    command = [sys.executable, "-c", f"import sys; {statement}"]
    subprocess.run(command, env={"PYTHONPATH": str(tiny_shop.PROJECT)}, check=True)


def digests(*roots: str) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for root in roots
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("how", HOW)
def test_the_champion_is_there_and_whole_and_rollback_works(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    champion = artefacts.CHAMPION.path
    old = write_fake(champion, "old")
    new = write_fake(release.BUNDLE, "new")
    kill_in_the_gap(PROMOTE, str(champion), how)
    release_store = ReleaseStore()
    expected = {"in one step": new, "in two steps": old}[how]
    assert release_store.read_pointer().champion == expected
    assert version_of(champion) == expected
    verify_bundle(champion)
    if how == "in two steps":
        release.promote()  # as the next run does
    assert release_store.read_pointer().champion == new
    assert changes.rollback(release_store).champion == old
    pointer = read_pointer(release_store.folder)
    assert pointer is not None
    verify_bundle(release_store.bundle_path(pointer.champion))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a labelled shop whose source has grown by a week."""
    folder = tmp_path_factory.mktemp("labelled")
    tiny_shop.write_source(folder / "data" / "source")
    events = tiny_shop.events()
    cut = events[events["timestamp"] < events["timestamp"].max().floor("D")]
    cut.to_parquet(folder / "data/source/events.parquet", index=False)
    values = tiny_shop.params()
    values["tracking"]["uri"] = "sqlite:////no/such/folder/mlflow.db"
    tiny_shop.write_params(folder / "params.yaml", values)
    tiny_shop.write_verdicts(folder)
    (folder / "data/reviewed").mkdir()
    header = "example_id,basket_id,item_id,reason,decision\n"
    (folder / "data/reviewed/labels.csv").write_text(header, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(COLLECT)
        run(LABEL)
    events.to_parquet(folder / "data/source/events.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def collected_at_once(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the outputs of collection on the longer source without earlier outputs."""
    folder = tmp_path_factory.mktemp("at-once")
    shutil.copytree(labelled / "data/source", folder / "data/source")
    shutil.copy(labelled / "params.yaml", folder)
    tiny_shop.write_verdicts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(COLLECT)
        return digests("data/clean", "data/quarantine")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("folder", ["data/clean", "data/quarantine"])
def test_collection_goes_on_after_a_kill_as_if_nothing_had_been(
    how: str,
    folder: str,
    labelled: Path,
    collected_at_once: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(labelled, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    kill_in_the_gap(COLLECT, folder, how)
    assert len(artefacts.read_table(artefacts.EVENTS)) > 0
    assert artefacts.QUARANTINE.existing().is_dir()
    run(COLLECT)
    assert digests("data/clean", "data/quarantine") == collected_at_once


@pytest.mark.parametrize("how", HOW)
def test_labels_are_the_old_ones_or_the_new_ones_and_never_some_of_each(
    how: str, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(labelled, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    before = digests("data/labelled")
    values = tiny_shop.params()
    values["labeling"]["n_negatives"] += 1
    values["tracking"]["uri"] = "sqlite:////no/such/folder/mlflow.db"
    tiny_shop.write_params(tmp_path / "params.yaml", values)
    kill_in_the_gap(LABEL, "data/labelled", how)
    artefacts.EXAMPLES.existing()
    written = digests("data/labelled")
    run(LABEL)
    after = digests("data/labelled")
    assert before != after
    assert written == {"in one step": after, "in two steps": before}[how]
