"""MLflow's alias `champion` points at the live bundle's version after every command."""

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.params import read_params
from pipeline.serving.__main__ import main
from pipeline.serving.environment import BUNDLE, RELEASES_FOLDER
from pipeline.serving.releases.store import ReleaseStore
from tests.support import tiny_shop
from tests.support.fake_releases import write_fake, write_fake_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a tracking store with an empty registry; creating one is slow."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path.read_bytes()


@pytest.fixture
def release_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseStore:
    """A project whose champion is `old`."""
    store = write_fake_store(tmp_path)
    monkeypatch.setenv(BUNDLE, str(store.deployed))
    monkeypatch.setenv(RELEASES_FOLDER, str(store.folder))
    values = tiny_shop.params()
    values["tracking"]["uri"] = f"sqlite:///{tmp_path / 'mlflow.db'}"  # MLflow caches stores by URI
    tiny_shop.write_params(tmp_path / "params.yaml", values)
    monkeypatch.chdir(tmp_path)
    return store


@pytest.fixture
def registry(release_store: ReleaseStore, database: bytes) -> Any:
    """The client of a store that registered `old` twice and, in between, another bundle."""
    import mlflow

    Path("mlflow.db").write_bytes(database)
    params = read_params()
    client = mlflow.MlflowClient(params.tracking.uri)
    client.create_registered_model(name())
    for bundle in (
        release_store.read_pointer().champion,
        "0" * 12,
        release_store.read_pointer().champion,
    ):
        register(client, bundle)
    return client


def name() -> str:
    return read_params().deployment.registered_model


def register(client: Any, bundle: str) -> None:
    version = client.create_model_version(name(), "file:///nowhere", tags={"bundle": bundle})
    client.set_registered_model_alias(name(), "champion", version.version)


def alias(client: Any) -> str | None:
    version = client.get_registered_model(name()).aliases.get("champion")
    return None if version is None else str(version)


def bundle_of_the_alias(client: Any) -> str:
    return str(client.get_model_version_by_alias(name(), "champion").tags["bundle"])


def test_the_alias_follows_promote_and_rollback(registry: Any, release_store: ReleaseStore) -> None:
    register(registry, write_fake(Path("new"), "new"))
    for command in (["promote", "new"], ["rollback"], ["rollback"]):
        assert main(command) == 0
        assert bundle_of_the_alias(registry) == release_store.read_pointer().champion
    assert main(["rollback"]) == 0
    assert alias(registry) == "3"  # the newer one of the two with this bundle


def test_a_bundle_that_was_never_registered_leaves_no_alias(
    registry: Any, release_store: ReleaseStore, caplog: pytest.LogCaptureFixture
) -> None:
    write_fake(Path("new"), "new")
    assert main(["promote", "new"]) == 0
    assert alias(registry) is None
    assert (
        f"no version of '{name()}' with the bundle {release_store.read_pointer().champion}"
        in caplog.text
    )
    assert main(["rollback"]) == 0
    assert alias(registry) == "3"


def test_a_trial_does_not_move_the_alias(registry: Any) -> None:
    register(registry, write_fake(Path("new"), "new"))
    assert main(["rollback"]) == 1  # nothing to go back to
    for command in ("shadow", "canary"):
        assert main([command, "new"]) == 0
        assert alias(registry) == "4"  # as it was registered


def test_without_a_store_none_is_made(
    release_store: ReleaseStore, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fake(Path("new"), "new")
    assert main(["promote", "new"]) == 0
    assert release_store.read_pointer().champion in capsys.readouterr().out
    assert not Path("mlflow.db").exists()


def test_a_locked_store_is_a_warning_and_the_champion_changes_all_the_same(
    registry: Any, release_store: ReleaseStore, caplog: pytest.LogCaptureFixture
) -> None:
    before, started = alias(registry), time.monotonic()
    new = write_fake(Path("new"), "new")
    holder = sqlite3.connect("mlflow.db")
    holder.execute("BEGIN EXCLUSIVE")
    with caplog.at_level(logging.WARNING):
        assert main(["promote", "new"]) == 0
    holder.close()
    assert time.monotonic() - started < 20
    assert release_store.read_pointer().champion == new
    assert "alias 'evergreen-recommender@champion' is unchanged" in caplog.text
    assert alias(registry) == before
