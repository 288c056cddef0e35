"""Estimates and measurements, computed by hand."""

import json
from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.plan import StageCost
from pipeline.lifecycle.__main__ import main
from pipeline.lifecycle.estimates import compare_costs, compare_quality, format_table
from tests.support.reports import make_report
from tests.support.tiny_shop import PROJECT
from tests.unit.planning.test_viability import plan

REPORT = make_report("mlp", {"mlp": 0.19, "popular": 0.05, "decayed": 0.15})


@pytest.fixture(scope="module")
def params() -> Params:
    return read_params(PROJECT / "params.yaml")


def write_cost(folder: Path, stage: str, minutes: float, memory_gib: float) -> None:
    cost = {"minutes": minutes, "processor_minutes": minutes, "memory_gib": memory_gib}
    (folder / stage).mkdir(parents=True)
    (folder / stage / "latency.json").write_text(json.dumps(cost), encoding="utf-8")


def test_the_stages_of_a_phase_count_together_and_what_did_not_run_is_said(
    params: Params, tmp_path: Path
) -> None:
    costs = (
        StageCost(stage="planning", minutes=0.5, memory_gib=0.7),
        StageCost(stage="training", minutes=4.0, memory_gib=4.0),
    )
    planned = plan(params).model_copy(update={"costs": costs})
    write_cost(tmp_path, "families@mlp", 2.0, 5.0)
    write_cost(tmp_path, "training", 1.0, 2.0)
    rows = {(row.what, row.unit): row for row in compare_costs(planned, tmp_path)}
    assert rows["training", "minutes"].measured == 3.0
    assert rows["training", "minutes"].ratio == 0.75
    assert rows["training", "GiB"].measured == 5.0
    assert rows["planning", "minutes"].measured is None
    assert rows["cycle", "minutes"].measured is None
    write_cost(tmp_path, "planning", 0.25, 0.7)
    cycle = compare_costs(planned, tmp_path)[-1]
    assert (cycle.what, cycle.estimated, cycle.measured) == ("cycle", 4.5, 3.25)


def test_the_plans_baseline_and_target_are_held_against_the_test_window(params: Params) -> None:
    # the plan of the fixture: baseline .17, target .18
    counted, reached = compare_quality(plan(params), REPORT)
    assert (counted.estimated, counted.measured) == (pytest.approx(0.17), 0.15)
    assert (reached.estimated, reached.measured) == (pytest.approx(0.18), 0.19)
    assert compare_quality(plan(params), None)[1].measured is None


def test_the_command_prints_the_table(
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["estimates"]) == 1
    assert "planning" in capsys.readouterr().err
    artefacts.write_json(plan(params).model_dump(mode="json"), artefacts.PLAN.path)
    artefacts.write_record(REPORT, artefacts.TEST_METRICS)
    write_cost(tmp_path / "reports/costs", "labeling", 0.1, 1.5)
    assert main(["estimates"]) == 0
    text = capsys.readouterr().out
    (labeling,) = [line for line in text.splitlines() if line.startswith("labeling (minutes)")]
    assert labeling.split()[3] == "0.100"
    (model,) = [line for line in text.splitlines() if line.startswith("model, against")]
    assert model.split()[-3:] == ["0.180", "0.190", "1.06"]
    assert "not measured here" in format_table(compare_costs(plan(params)))
