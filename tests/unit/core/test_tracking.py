import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from pipeline import tracking
from pipeline.params import Params, read_params
from pipeline.tracking import Run, tracked_phase
from pipeline.verdicts import Evidence, Verdict


@pytest.fixture
def params(shop_folder: Path) -> Params:
    return read_params()


def client(params: Params):  # type: ignore[no-untyped-def]
    import mlflow

    return mlflow.MlflowClient(params.tracking.uri)


@pytest.mark.slow
def test_a_cycle_holds_its_phases(params: Params, shop_folder: Path) -> None:
    report = shop_folder / "reports" / "planning" / "plan.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}", encoding="utf-8")
    evidence = (
        Evidence(name="recall@10", value=0.1, holds=True),
        Evidence(name="label_noise", value=None, holds=False, gates=False),
    )
    with tracked_phase("planning", params) as run:
        run.log_metrics({"rolling": {"recall@10": 0.15, "name": "text"}})
        run.log_dataset("events", pd.DataFrame({"a": [1.0]}), "data/clean/events")
        run.log_verdict(
            Verdict(phase="planning", status="proceed", cause="Fine.", evidence=evidence)
        )
    with tracked_phase("collection", params) as second:
        pass
    phase = client(params).get_run(run.run_id)
    cycle = client(params).get_run(run.parent_id)
    assert second.parent_id == run.parent_id
    assert phase.data.tags["mlflow.parentRunId"] == run.parent_id
    assert phase.data.metrics == {"rolling.recall_at_10": 0.15, "evidence.recall_at_10": 0.1}
    assert phase.data.params["planning.primary_metric"] == "recall@10"
    assert phase.info.status == cycle.info.status == "FINISHED"
    assert phase.inputs.dataset_inputs[0].dataset.name == "events"
    assert cycle.data.tags["verdict.planning"] == "proceed, with warnings: Fine."
    assert cycle.data.tags["warnings.planning"] == "label_noise does not hold"
    assert phase.data.tags["warnings"] == "label_noise does not hold"
    assert [a.path for a in client(params).list_artifacts(run.run_id)] == ["plan.json"]


@pytest.mark.slow
def test_a_failing_phase_is_recorded_as_failed(params: Params) -> None:
    with pytest.raises(ZeroDivisionError), tracked_phase("planning", params) as run:
        raise ZeroDivisionError
    assert client(params).get_run(run.run_id).info.status == "FAILED"


@pytest.mark.slow
def test_a_locked_store_is_a_warning(
    params: Params, shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = sqlite3.connect(shop_folder / "mlflow.db")
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    with tracked_phase("planning", params) as run:
        run.log_metrics({"recall@10": 0.1})
    holder.close()
    assert "cannot be used, going on" in caplog.text
    assert run.run_id == ""


def test_a_store_that_fails_midway_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def log_batch(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

    run = Run(Full(), "a", "b")  # type: ignore[arg-type]
    run.log_metrics({"x": 1})
    run.log_metrics({"x": 2})
    assert caplog.text.count("MLflow did not take a record") == 1
    assert run.register_model("m", Path(), description="", tags={}) is None


def test_hashes_of_earlier_stages_become_tags(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(
        "schema: '2.0'\nstages:\n  collection:\n    cmd: x\n    outs:\n"
        "    - path: data/clean\n      md5: abc.dir\n",
        encoding="utf-8",
    )
    assert tracking._dvc_hashes(lock) == {"dvc.data.clean": "abc.dir"}
    assert tracking._dvc_hashes(tmp_path / "none") == {}
