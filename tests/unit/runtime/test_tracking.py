import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.contracts.params import Params, read_params
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.runtime import provenance
from pipeline.runtime.tracking import Run, track_phase


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
    with track_phase("planning", params) as run:
        run.log_metrics({"rolling": {"recall@10": 0.15, "name": "text"}})
        run.log_dataset("events", pd.DataFrame({"a": [1.0]}), "data/clean/events")
        run.log_verdict(
            Verdict(phase="planning", status="proceed", cause="Fine.", evidence=evidence)
        )
    with track_phase("collection", params) as second:
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
    with pytest.raises(ZeroDivisionError), track_phase("planning", params) as run:
        raise ZeroDivisionError
    assert client(params).get_run(run.run_id).info.status == "FAILED"


@pytest.mark.slow
def test_a_locked_store_is_a_warning(
    params: Params, shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = sqlite3.connect(shop_folder / "mlflow.db")
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    with track_phase("planning", params) as run:
        run.log_metrics({"recall@10": 0.1})
    holder.close()
    assert "cannot be used, continuing without it" in caplog.text
    assert run.run_id == ""


def test_a_store_that_fails_midway_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def log_batch(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

    run = Run(Full(), "a", "b")  # type: ignore[arg-type]
    run.log_metrics({"x": 1})
    run.log_metrics({"x": 2})
    assert caplog.text.count("MLflow did not take a record") == 1
    assert run.register_model("m", Path(), loader=provenance, description="", tags={}) is None


DVC_FILE = """
stages:
  families:
    matrix: {name: [mlp, sasrec]}
    cmd: python -m pipeline.training.fit ${item.name}
    outs: [{"models/families/${item.name}": {persist: true}}]
  deployment:
    cmd: python -m pipeline.deployment
    outs: [{models/champion: {persist: true}}, reports/deployment/index.html]
    metrics: [{reports/deployment/report.json: {cache: false}}]
"""


def write_champion(content: str) -> None:
    folder = Path("models/champion")
    (folder / "saved_model").mkdir(parents=True, exist_ok=True)
    for name in ("model.json", "saved_model/b", "saved model", "Z", "ä"):
        (folder / name).write_text(f"{name} {content}", encoding="utf-8")


def hash_by_dvc(path: Path) -> str:
    from ruamel.yaml import YAML

    dvc = (sys.executable, "-m", "dvc")
    subprocess.run([*dvc, "init", "-q", "-f", "--no-scm"], check=True)
    subprocess.run([*dvc, "add", "-q", str(path)], check=True)
    known = YAML(typ="safe", pure=True).load(path.with_name(f"{path.name}.dvc").read_text())
    return str(known["outs"][0]["md5"])


@pytest.mark.slow
def test_a_run_is_tagged_with_the_hashes_of_what_it_wrote(params: Params) -> None:
    Path("dvc.yaml").write_text(DVC_FILE, encoding="utf-8")
    lock = "{schema: '2.0', stages: {deployment: {outs: [{path: models/champion, md5: old}]}}}"
    Path("dvc.lock").write_text(lock, encoding="utf-8")
    write_champion("old")
    with track_phase("deployment", params) as run:
        write_champion("new")
    for name in ("dvc.yaml", "dvc.lock"):
        Path(name).unlink()
    assert tags_of(run, params) == {"dvc.models.champion": hash_by_dvc(Path("models/champion"))}


@pytest.mark.slow
def test_a_run_that_stops_or_fails_claims_nothing(params: Params) -> None:
    Path("dvc.yaml").write_text(DVC_FILE, encoding="utf-8")
    write_champion("old")
    with track_phase("deployment", params) as stopped:
        stopped.log_verdict(Verdict(phase="deployment", status="stop", cause="Slow.", action="Go."))
    with pytest.raises(ZeroDivisionError), track_phase("deployment", params) as failed:
        raise ZeroDivisionError
    assert tags_of(stopped, params) == tags_of(failed, params) == {}


def tags_of(run: Run, params: Params) -> dict[str, str]:
    tags: dict[str, str] = client(params).get_run(run.run_id).data.tags
    return {name: value for name, value in tags.items() if name.startswith("dvc.")}


@pytest.mark.slow
def test_a_file_has_the_hash_that_dvc_gives_it(shop_folder: Path) -> None:
    path = shop_folder / "report.json"
    path.write_bytes(b'{"a": 1}\r\n')
    assert provenance.dvc_hash(path) == hash_by_dvc(path)


def test_the_outputs_of_a_part_are_its_own(shop_folder: Path) -> None:
    Path("dvc.yaml").write_text(DVC_FILE, encoding="utf-8")
    for name in ("mlp", "sasrec"):
        (shop_folder / "models/families" / name).mkdir(parents=True)
    assert list(provenance.output_hashes("families@mlp")) == ["models/families/mlp"]
    assert provenance.output_hashes("training") == {}
