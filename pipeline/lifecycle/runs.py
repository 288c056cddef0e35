"""The link to the cycles in MLflow's UI: the table of runs with the main metrics.

By default, MLflow's UI opens in a mode for language models and shows no metrics in the table. Tags
on the experiment set the mode for models, and a view with columns.
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


def build_view() -> str:
    """Return the state of MLflow's table of runs, in the format of its UI."""
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


def build_link(params: TrackingParams, address: str) -> str:
    """Return the address of the runs in the UI at `address`, and store the view.

    Raises:
        EvergreenError: If no cycle has run here.
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
    client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, build_view())
    page = f"{address}/#/experiments/{experiment.experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={VIEW}"
