import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import read_params
from pipeline.lifecycle.loop.cycle import (
    build_runner,
    read_cycle,
    read_measurement,
    run_cycle,
)
from pipeline.lifecycle.steps.step import MONITOR, REPRO
from tests.support.fake_cycles import SICK, WELL, FakeCycles, Shop, write_cycle, write_project


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)


def test_a_healthy_cycle_has_a_measurement_and_no_trouble() -> None:
    cycle = run_cycle((REPRO,), FakeCycles(lambda _: WELL))
    assert cycle.assessment.is_healthy
    assert cycle.verdict is None
    quality = cycle.assessment.measurement
    assert quality is not None
    assert (quality.value, quality.low, quality.high) == pytest.approx((0.16, 0.15, 0.17))
    assert (quality.metric, str(quality.as_of), quality.lead) == ("recall@10", "2017-12-04", 0.02)


def test_monitoring_that_returns_measures_too() -> None:
    assessment = run_cycle((REPRO,), FakeCycles(lambda _: SICK)).assessment
    assert assessment.trouble is not None
    assert assessment.trouble.phase == "monitoring"
    assert [e.name for e in assessment.trouble.failing] == ["input_drift", "recall@10"]
    assert assessment.measurement is not None


@pytest.mark.parametrize("status", ["return", "stop"])
def test_a_closed_gate_is_trouble_without_a_measurement(status: str) -> None:
    run_cycle((REPRO,), FakeCycles(lambda _: SICK))  # leaves a verdict and numbers of monitoring
    shop = Shop(trouble="testing", status=status)
    assessment = run_cycle((REPRO,), FakeCycles(lambda _: shop)).assessment
    assert assessment.trouble is not None
    assert (assessment.trouble.phase, assessment.trouble.status) == ("testing", status)
    assert assessment.measurement is None
    assert assessment.failure is None


@pytest.mark.parametrize("stage", ["families@mlp", "refit", "collection", "monitoring"])
def test_a_stage_that_fails_is_no_verdict_of_an_earlier_cycle(stage: str) -> None:
    run_cycle((REPRO,), FakeCycles(lambda _: SICK))
    assessment = run_cycle((REPRO,), FakeCycles(lambda _: Shop(broken_stage=stage))).assessment
    assert assessment.trouble is None
    assert assessment.failure == f"{stage} failed (exit code 1): Expected a table, got none."


def test_a_failure_outside_the_stages_is_one_too() -> None:
    write_cycle(SICK)
    assessment = run_cycle((REPRO,), lambda _: 255).assessment
    assert assessment.failure == "dvc repro failed (exit code 255): see its output above"


def test_no_label_yet_is_no_measurement() -> None:
    write_cycle(replace(WELL, recall=None))
    assert read_measurement(read_params()) is None


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"quality": {"recall@10": {"value": "high"}}}', '{"quality": 3}']
)
def test_metrics_of_another_version_are_an_error(text: str) -> None:
    write_cycle(WELL)
    artefacts.MONITORING_METRICS.path.write_text(text)
    with pytest.raises(ArtefactError, match="'quality' with value, low and high of recall@10"):
        read_cycle()


def test_a_verdict_of_another_version_is_an_error() -> None:
    write_cycle(WELL)
    artefacts.verdict("testing").path.write_text('{"phase": "testing", "mood": "good"}')
    with pytest.raises(ArtefactError, match=r"Verdict in 'reports/testing/verdict.json'"):
        read_cycle()


def test_the_runner_returns_the_exit_code_and_hands_the_lock_on(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        "import os, sys\nos.fstat(int(sys.argv[1]))\nsys.exit(7)\n", encoding="utf-8"
    )
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert build_runner(descriptor)(("child", str(descriptor))) == 7
    finally:
        os.close(descriptor)


def test_the_commands_are_of_dvc(capfd: pytest.CaptureFixture[str]) -> None:
    descriptor = os.open(".", os.O_RDONLY)
    try:
        for command in (REPRO, MONITOR):
            assert build_runner(descriptor)((*command, "--help")) == 0
    finally:
        os.close(descriptor)
    assert capfd.readouterr().out.count("usage: dvc repro") == 2
