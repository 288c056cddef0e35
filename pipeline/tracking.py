"""What MLflow is told of each phase. The only module that imports mlflow.

One parent run per cycle (one `dvc repro`), a nested run per phase that was executed. Tracking
observes: it never changes a result, and a store that is missing, locked or full is a warning.
"""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.params import Params
from pipeline.verdicts import PHASES, Phase, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

log = logging.getLogger("evergreen.tracking")

CYCLE_TAG = "evergreen.cycle"


class Run:
    """The nested run of one phase. Without a store every method does nothing."""

    def __init__(self, client: "MlflowClient | None", run_id: str, parent_id: str) -> None:
        """Wrap an open run; `client` is None when there is no store."""
        self._client = client
        self.run_id = run_id
        self.parent_id = parent_id

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record settings; nested mappings become dotted names."""
        from mlflow.entities import Param

        flat = [Param(name, str(value)[:6000]) for name, value in _flatten(values)]
        self._tell(lambda client: client.log_batch(self.run_id, params=flat))

    def log_metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Record numbers; nested mappings become dotted names, what is not a number is left out."""
        from mlflow.entities import Metric

        now = _milliseconds()
        flat = [
            Metric(_metric_name(name), float(value), now, step)
            for name, value in _flatten(values)
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        self._tell(lambda client: client.log_batch(self.run_id, metrics=flat))

    def log_dataset(self, name: str, frame: "pd.DataFrame", source: str) -> None:
        """Record which table the phase read: its name, schema, size and digest."""

        def tell(client: "MlflowClient") -> None:
            import mlflow
            from mlflow.entities import DatasetInput, InputTag
            from mlflow.tracking._tracking_service.utils import _get_store  # noqa: F401

            dataset = mlflow.data.from_pandas(frame, source=source, name=name)  # type: ignore[attr-defined]
            tags = [InputTag("mlflow.data.context", name)]
            client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])

        self._tell(tell)

    def log_artifact(self, path: Path) -> None:
        """Record a file, or a folder with all that is in it."""

        def tell(client: "MlflowClient") -> None:
            if path.is_dir():
                client.log_artifacts(self.run_id, str(path), path.name)
            elif path.exists():
                client.log_artifact(self.run_id, str(path))

        self._tell(tell)

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Record facts that one searches by."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in values.items()]
        self._tell(lambda client: client.log_batch(self.run_id, tags=tags))

    def log_verdict(self, verdict: Verdict) -> None:
        """Record the phase's conclusion, here and on the cycle's run."""
        self.set_tags({"verdict.status": verdict.status, "verdict.cause": verdict.cause})
        self._tell(
            lambda client: client.set_tag(
                self.parent_id, f"verdict.{verdict.phase}", f"{verdict.status}: {verdict.cause}"
            )
        )
        self.log_metrics({f"evidence.{item.name}": item.value for item in verdict.evidence})

    def _tell(self, call: "Callable[[MlflowClient], Any]") -> None:
        if self._client is None:
            return
        try:
            call(self._client)
        except Exception as error:  # noqa: BLE001  tracking must never fail a stage
            log.warning("MLflow did not take a record (%s). Going on.", _first_line(error))


@contextmanager
def tracked_phase(phase: Phase, params: Params) -> Iterator[Run]:
    """Open the nested run of `phase` inside the cycle's run, and close it with how it ended."""
    run = _open(phase, params)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run._tell(lambda client: client.set_terminated(run.run_id, status))
        run._tell(lambda client: client.set_terminated(run.parent_id, status))


def _open(phase: Phase, params: Params) -> Run:
    return Run(None, "", "")
