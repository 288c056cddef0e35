"""The address of the cycles in MLflow's UI."""

import json
from pathlib import Path

import pytest

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import TrackingParams
from pipeline.lifecycle.runs import METRICS, build_link


@pytest.fixture
def params(tmp_path: Path) -> TrackingParams:
    return TrackingParams(
        uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts="artifacts", experiment="shop"
    )


def test_the_link_opens_the_runs_and_the_experiment_keeps_the_columns(
    params: TrackingParams,
) -> None:
    import mlflow

    client = mlflow.MlflowClient(params.uri)
    number = client.create_experiment("shop")
    expected = f"http://a/#/experiments/{number}/runs?workflowType=machine_learning"
    assert build_link(params, "http://a") == f"{expected}&viewStateShareKey=cycles"
    tags = client.get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    columns = json.loads(tags["mlflow.sharedViewState.cycles"])["selectedColumns"]
    assert [f"metrics.`{name}`" for name in METRICS] == columns[1:]


def test_before_the_first_cycle_it_says_what_to_run(params: TrackingParams) -> None:
    with pytest.raises(EvergreenError, match="make repro"):
        build_link(params, "http://a")
