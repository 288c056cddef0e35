"""Tracking of phases in MLflow. Only this module and `model_registry` import mlflow.

Each cycle (one `dvc repro`) is a parent run, and each executed phase a nested run. Tracking never
changes a result; a store that is missing, locked or full is a warning.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.contracts.params import Params, TrackingParams
from pipeline.contracts.phases import Phase
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime import model_registry
from pipeline.runtime.provenance import cycle_key, git_commit, output_hashes

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

log = logging.getLogger("evergreen.tracking")

CYCLE_TAG = "evergreen.cycle"
PARENT_TAG = "mlflow.parentRunId"
RUN_NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"
MAXIMUM_TAG_LENGTH = 5000


class Run:
    """The nested run of one phase. Without a store, every method does nothing.

    >>> Run(None).log_metrics({"recall@10": 0.15})
    """

    def __init__(
        self, client: "MlflowClient | None", run_id: str = "", parent_id: str = ""
    ) -> None:
        """Wrap an open run; `client` is None if there is no store."""
        self._client = client
        self.run_id = run_id
        self.parent_id = parent_id
        self._stops = False

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record settings; nested mappings become dotted names."""

        def send(client: "MlflowClient") -> None:
            from mlflow.entities import Param

            flat = [Param(name, str(value)) for name, value in _flatten(values)]
            client.log_batch(self.run_id, params=flat)

        self.send(send)

    def log_metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Record numbers; nested mappings become dotted names, other values are skipped."""

        def send(client: "MlflowClient") -> None:
            from mlflow.entities import Metric

            now = time.time_ns() // 1_000_000
            flat = [
                Metric(_metric_name(name), float(value), now, step)
                for name, value in _flatten(values)
                if isinstance(value, int | float) and not isinstance(value, bool)
            ]
            client.log_batch(self.run_id, metrics=flat)

        self.send(send)

    def log_dataset(self, name: str, frame: "pd.DataFrame", source: str) -> None:
        """Record a table that the phase has read: its name, schema, size, digest and path."""

        def send(client: "MlflowClient") -> None:
            from mlflow.data.pandas_dataset import from_pandas
            from mlflow.entities import DatasetInput, InputTag

            dataset = from_pandas(frame, source=source, name=name)
            tags = [InputTag("mlflow.data.context", name)]
            client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])  # noqa: SLF001

        self.send(send)

    def log_artifact(self, path: Path) -> None:
        """Record a file or a folder, if it exists."""

        def send(client: "MlflowClient") -> None:
            if path.is_dir():
                client.log_artifacts(self.run_id, str(path), path.name)
            elif path.exists():
                client.log_artifact(self.run_id, str(path))

        self.send(send)

    def log_verdict(self, verdict: Verdict) -> None:
        """Record the verdict on this run and on the cycle's run."""
        self._stops = verdict.status == "stop"
        conclusion = f"{verdict.status_in_words}: {verdict.cause}"[:MAXIMUM_TAG_LENGTH]
        warnings = "; ".join(item.in_words() for item in verdict.warnings)[:MAXIMUM_TAG_LENGTH]

        def send(client: "MlflowClient") -> None:
            client.set_tag(self.run_id, "verdict", conclusion)
            client.set_tag(self.parent_id, f"verdict.{verdict.phase}", conclusion)
            if warnings:
                client.set_tag(self.run_id, "warnings", warnings)
                client.set_tag(self.parent_id, f"warnings.{verdict.phase}", warnings)

        self.send(send)
        self.log_metrics({f"evidence.{item.name}": item.value for item in verdict.evidence})

    def log_cycle_metrics(self, values: Mapping[str, float]) -> None:
        """Record the numbers by which cycles are compared, on the cycle's run."""
        Run(self._client, self.parent_id, self.parent_id).log_metrics(values)

    def log_outputs(self, stage: str) -> None:
        """Tag the run with the hashes of its outputs, as in dvc.lock.

        A phase that stops writes a verdict but no outputs; the files on disk are of an earlier run.
        """
        if self._stops:
            return

        def send(client: "MlflowClient") -> None:
            from mlflow.entities import RunTag

            hashes = output_hashes(stage)
            tags = [RunTag(f"dvc.{path.replace('/', '.')}", md5) for path, md5 in hashes.items()]
            client.log_batch(self.run_id, tags=tags)

        self.send(send)

    def register_model(
        self,
        name: str,
        bundle: Path,
        *,
        loader: ModuleType,
        description: str,
        tags: Mapping[str, str],
    ) -> str | None:
        """Register the bundle as a new version of `name` and point the alias `champion` at it.

        Args:
            name: Name of the registered model.
            bundle: Folder of the bundle.
            loader: The module whose `_load_pyfunc` loads the bundle.
            description: Text for readers of the registry.
            tags: Tags of the version.

        Returns:
            The version, or None if there is no store.
        """
        versions: list[str] = []

        def send(client: "MlflowClient") -> None:
            version = model_registry.register_version(
                client, self.run_id, name, bundle, loader=loader, description=description, tags=tags
            )
            versions.append(version)

        self.send(send)
        return versions[0] if versions else None

    def send(self, call: "Callable[[MlflowClient], None]") -> None:
        """Call `call` with the client; after the first failure, tracking of this run ends."""
        if self._client is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # hints for interactive use of MLflow
                call(self._client)
        except Exception as error:  # noqa: BLE001  the stage goes on even if the store fails
            self._client = None
            log.warning(
                "MLflow did not take a record, tracking of this run ends: %s",
                model_registry.summarise_error(error),
            )


@contextmanager
def track_phase(phase: Phase, params: Params, stage: str | None = None) -> Iterator[Run]:
    """Open the nested run of `phase` inside the cycle's run, and close it with its status.

    Args:
        phase: The phase that runs.
        params: All of params.yaml.
        stage: The stage of dvc.yaml, if the phase has several stages with runs of their own; None
            for the phase's own stage.
    """
    run = _open(phase, params, stage)
    status = "FAILED"
    try:
        yield run
        run.log_outputs(stage or phase)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        _close(run, phase, status, stage)


def _open(phase: Phase, params: Params, stage: str | None) -> Run:
    try:
        client, experiment_id = _connect(params.tracking)
        parent_id = _cycle_run(client, experiment_id, params)
        tags = {
            RUN_NAME_TAG: phase if stage is None else f"{phase}: {stage.split('@')[-1]}",
            PARENT_TAG: parent_id,
            "evergreen.phase": phase,
            "git.commit": git_commit(),
        }
        run = client.create_run(experiment_id, tags=tags)
        client.update_run(parent_id, status="RUNNING")
    except Exception as error:  # noqa: BLE001  the stage goes on even if the store fails
        log.warning(
            "MLflow at %s cannot be used, continuing without it: %s",
            params.tracking.uri,
            model_registry.summarise_error(error),
        )
        return Run(None)
    opened = Run(client, run.info.run_id, parent_id)
    section = params.model_dump(mode="json").get(phase, {})
    opened.log_params({"shop": params.shop.model_dump(mode="json"), phase: section})
    return opened


def _close(run: Run, phase: Phase, status: str, stage: str | None) -> None:
    def send(client: "MlflowClient") -> None:
        below = "" if stage is None else stage.replace("@", "/")
        folder = Path("reports") / phase / below
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_file():
                client.log_artifact(run.run_id, str(path))
        client.set_terminated(run.run_id, status)
        client.set_terminated(run.parent_id, status)

    run.send(send)


def _connect(params: TrackingParams) -> "tuple[MlflowClient, str]":
    model_registry.check_not_locked(params.uri)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(params.uri)
    client = mlflow.MlflowClient(params.uri)
    experiment = client.get_experiment_by_name(params.experiment)
    if experiment is not None:
        return client, experiment.experiment_id
    location = Path(params.artifacts).absolute().as_uri()
    return client, client.create_experiment(params.experiment, artifact_location=location)


def _cycle_run(client: "MlflowClient", experiment_id: str, params: Params) -> str:
    key = cycle_key()
    runs = client.search_runs([experiment_id], f"tags.`{CYCLE_TAG}` = '{key}'", max_results=1)
    if runs:
        return str(runs[0].info.run_id)
    tags = {
        CYCLE_TAG: key,
        RUN_NAME_TAG: f"cycle as of {params.shop.as_of}",
        "git.commit": git_commit(),
        NOTE_TAG: "One `make repro`. The nested runs are the executed phases.",
    }
    return str(client.create_run(experiment_id, tags=tags).info.run_id)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value.item() if hasattr(value, "item") else value


def _metric_name(name: str) -> str:
    """Return a name that MLflow accepts: `recall@10` becomes `recall_at_10`."""
    plain = name.replace("@", "_at_")
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in plain)
