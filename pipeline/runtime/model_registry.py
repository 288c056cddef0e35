"""MLflow's model registry: a version per bundle, and the alias `champion` for the live bundle.

    mlflow.pyfunc.load_model("models:/evergreen-recommender@champion")

Design choices:

- Deployment registers a bundle and points the alias at it; promote and rollback move the alias. The
  release pointer decides which bundle is live; the alias only mirrors it.
- A wrong alias would mislead: if the registry does not contain the live bundle, the alias is
  deleted.
- The registry only records, like all of MLflow here: a missing store is not created, and a locked
  store is a warning.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipeline.contracts.params import Params

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("evergreen.tracking")

ALIAS = "champion"
BUNDLE_TAG = "bundle"
MISSING = "RESOURCE_DOES_NOT_EXIST"


def register_version(  # noqa: PLR0913  all that MLflow stores of a model
    client: "MlflowClient",
    run_id: str,
    name: str,
    bundle: Path,
    *,
    loader: ModuleType,
    description: str,
    tags: Mapping[str, str],
) -> str:
    """Log a bundle as a model, register it as a version of `name`, and point the alias at it."""
    import mlflow
    from mlflow.exceptions import MlflowException

    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="bundle",
            loader_module=loader.__name__,
            data_path=str(bundle),
            pip_requirements=_requirements(),
        )
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.update_registered_model(name, description)
    version = client.create_model_version(
        name,
        logged.model_uri,
        run_id,
        tags=dict(tags),
        description=description,
        model_id=logged.model_id,
    )
    client.set_registered_model_alias(name, ALIAS, version.version)
    return str(version.version)


def move_alias(client: "MlflowClient", name: str, bundle: str) -> str | None:
    """Point the alias at the newest version of `name` with this bundle, or delete the alias.

    Args:
        client: MLflow client.
        name: Name of the registered model.
        bundle: Version of the live bundle.

    Returns:
        The registry's version, or None if the registry does not contain the bundle.
    """
    versions = [
        int(version.version)
        for version in client.search_model_versions(f"name = '{name}'")
        if version.tags.get(BUNDLE_TAG) == bundle
    ]
    if versions:
        client.set_registered_model_alias(name, ALIAS, str(max(versions)))
        return str(max(versions))
    _delete_alias(client, name)
    return None


def move_champion_alias(params: Params, bundle: str) -> None:
    """Point the registry's alias `champion` at the live bundle, if there is a registry.

    Args:
        params: All of params.yaml.
        bundle: Version of the live bundle.
    """
    uri, name = params.tracking.uri, params.deployment.registered_model
    path = _sqlite_path(uri)
    if path is not None and not path.exists():
        return
    try:
        check_not_locked(uri)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        import mlflow

        version = move_alias(mlflow.MlflowClient(uri), name, bundle)
    except Exception as error:  # noqa: BLE001  the champion serves even if the store fails
        log.warning("MLflow's alias '%s@champion' is unchanged: %s", name, summarise_error(error))
        return
    if version is None:
        log.warning("MLflow has no version of '%s' with the bundle %s: no alias.", name, bundle)
    else:
        log.info("MLflow's alias '%s@champion' points at version %s.", name, version)


def _delete_alias(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_registered_model_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code != MISSING:
            raise


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy", "pandas", "pyarrow")]


def _sqlite_path(uri: str) -> Path | None:
    """Return the SQLite file of a URI, or None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def check_not_locked(uri: str) -> None:
    """Raise if another process locks the SQLite file, where MLflow would retry for minutes."""
    import sqlite3

    path = _sqlite_path(uri)
    if path is None or not path.exists():
        return
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()


def summarise_error(error: Exception) -> str:
    """Return an error as one short line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
