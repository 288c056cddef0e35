"""MLflow's model registry: a version per bundle, and the alias `champion` for the one that answers.

    mlflow.pyfunc.load_model("models:/evergreen-recommender@champion")

Design choices:

- Deployment registers a bundle and points the alias at it; promote and rollback move the alias. The
  pointer of the releases decides what answers; the alias only repeats it.
- An alias that names another version than the one that answers would mislead: if the registry does
  not know the bundle that answers, the alias goes.
- The registry observes, like all of MLflow here: absent it stays absent, and locked it is a
  warning.
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


def register(  # noqa: PLR0913  all that MLflow keeps of a model
    client: "MlflowClient",
    run_id: str,
    name: str,
    bundle: Path,
    *,
    loader: ModuleType,
    description: str,
    tags: Mapping[str, str],
) -> str:
    """Log a bundle as a model, make it a version of `name`, and point the alias at it."""
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
    made = client.create_model_version(
        name,
        logged.model_uri,
        run_id,
        tags=dict(tags),
        description=description,
        model_id=logged.model_id,
    )
    client.set_registered_model_alias(name, ALIAS, made.version)
    return str(made.version)


def follow(client: "MlflowClient", name: str, bundle: str) -> str | None:
    """Point the alias at the newest version of `name` that holds a bundle; else take it away.

    Args:
        client: Of the store.
        name: Of the registered model.
        bundle: The version of the bundle that answers.

    Returns:
        The registry's version, None if it has none of this bundle.
    """
    versions = [
        int(version.version)
        for version in client.search_model_versions(f"name = '{name}'")
        if version.tags.get(BUNDLE_TAG) == bundle
    ]
    if versions:
        client.set_registered_model_alias(name, ALIAS, str(max(versions)))
        return str(max(versions))
    _take_away(client, name)
    return None


def follow_champion(params: Params, bundle: str) -> None:
    """Let the registry's alias `champion` name the bundle that answers, where there is a registry.

    Args:
        params: All of params.yaml.
        bundle: Its version.
    """
    uri, name = params.tracking.uri, params.deployment.registered_model
    path = _file_of(uri)
    if path is not None and not path.exists():
        return
    try:
        refuse_a_locked_file(uri)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        import mlflow

        version = follow(mlflow.MlflowClient(uri), name, bundle)
    except Exception as error:  # noqa: BLE001  whatever the store does, the champion answers
        log.warning("MLflow's alias '%s@champion' stays as it was: %s", name, brief(error))
        return
    if version is None:
        log.warning("MLflow has no version of '%s' with the bundle %s: no alias.", name, bundle)
    else:
        log.info("MLflow's alias '%s@champion' is version %s.", name, version)


def _take_away(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_registered_model_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code != MISSING:
            raise


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy", "pandas", "pyarrow")]


def _file_of(uri: str) -> Path | None:
    """Return the SQLite file that a URI names, None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def refuse_a_locked_file(uri: str) -> None:
    """Raise at once when another process holds the SQLite file; MLflow would retry for minutes."""
    import sqlite3

    path = _file_of(uri)
    if path is None or not path.exists():
        return
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()


def brief(error: Exception) -> str:
    """Return an error in one short line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
