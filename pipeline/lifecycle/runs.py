"""The link that opens the cycles in MLflow's UI: its table of runs, with the numbers that matter.

MLflow's UI begins in a mode for language models and shows no number of a run until somebody
chooses columns. The experiment is told that it is about models, and keeps a view with columns.
"""

import json

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import TrackingParams

KIND, KIND_VALUE = "mlflow.experimentKind", "custom_model_development"
VIEW = "cycles"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
METRICS = (
    "recall_at_10",
    "ndcg_at_10",
    "hit_rate_at_10",
    "evidence.ahead_of_baselines",
    "evidence.validation_ndcg_at_10",
)


def view() -> str:
    """Return the state of MLflow's table of runs as its UI keeps it."""
    return json.dumps(
        {
            "searchFilter": "",
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": ["attributes.`Duration`", *(f"metrics.`{m}`" for m in METRICS)],
        }
    )


def link(params: TrackingParams, address: str) -> str:
    """Return the address of the runs in the UI at `address`; the experiment keeps the view.

    Raises:
        EvergreenError: No cycle has run here.
    """
    from mlflow import MlflowClient

    client = MlflowClient(params.uri)
    experiment = client.get_experiment_by_name(params.experiment)
    if experiment is None:
        raise EvergreenError(
            f"the experiment '{params.experiment}' in {params.uri}",
            received="no such experiment",
            action="Run a cycle first: `make repro`.",
        )
    client.set_experiment_tag(experiment.experiment_id, KIND, KIND_VALUE)
    client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, view())
    where = f"{address}/#/experiments/{experiment.experiment_id}/runs"
    return f"{where}?workflowType=machine_learning&viewStateShareKey={VIEW}"
