"""The summary of `make repro`: after all stages ran, after none ran, after a stage failed."""

import os
from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.lifecycle import __main__ as lifecycle
from pipeline.lifecycle import status
from pipeline.lifecycle.summary import build_summary
from pipeline.runtime import progress
from pipeline.runtime.stage_cost import COSTS, FILE
from tests.support import tiny_shop
from tests.support.fake_bundle import make_manifest

BEGAN = 1_000_000_000.0
STAGES = ("planning", "collection", "labeling", "families@mlp", "training", "testing", "deployment")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text((tiny_shop.PROJECT / "dvc.yaml").read_text(encoding="utf-8"))
    tiny_shop.write_params(Path("params.yaml"), tiny_shop.params())
    monkeypatch.setattr(status, "read_status", list)  # needs DVC; tested elsewhere
    return Params.model_validate(tiny_shop.params())


def took(stage: str, minutes: float, ended: float = BEGAN + 60) -> None:
    path = COSTS / stage / FILE
    artefacts.write_json({"minutes": minutes, "memory_gib": 1.5}, path)
    os.utime(path, (ended, ended))


def promote() -> None:
    manifest = make_manifest("mlp", "2024-06-03T00:00:00+00:00")
    artefacts.write_json(manifest.model_dump(), artefacts.CHAMPION.path / "manifest.json")
    tested = Evidence(
        name="recall@10",
        value=0.18,
        bound=0.15,
        holds=True,
        note="mlp, against the best frequency baseline, decayed",
    )
    artefacts.write_verdict(
        Verdict(phase="testing", status="proceed", cause="mlp reaches 0.18", evidence=(tested,))
    )


def test_after_a_cycle_it_tells_times_champion_and_what_to_do(params: Params) -> None:
    for stage in STAGES:
        took(stage, 0.5)
    took("monitoring", 2.0)
    promote()
    text = build_summary(params, 0, BEGAN)
    lines = text.splitlines()
    assert lines[2].split() == ["planning", "0.5", "1.5", "GiB"]
    assert "in all            5.5  1.5 GiB at most" in lines
    champion = "Champion: mlp, version 0123456789ab, with data before 2024-06-03. recall@10 0.1800"
    assert champion in text
    assert "(decayed) 0.1500: 20% more." in text.replace("\n ", "")
    assert "`make serve`, then open http://127.0.0.1:3000/" in text
    assert "`make status`" in text
    assert "reports/testing/index.html" in text


def test_stages_that_did_not_run_now_are_counted_and_not_timed(params: Params) -> None:
    took("planning", 9.0, ended=BEGAN - 1)
    took("monitoring", 2.0)
    lines = build_summary(params, 0, BEGAN).splitlines()
    assert [line for line in lines if line.startswith("planning")] == []
    assert "8 of 9 stages were unchanged." in lines
    assert "There is no champion here yet." in lines


def test_when_nothing_ran_it_says_so(params: Params) -> None:
    assert "Nothing has changed: no stage had to run." in build_summary(params, 0, BEGAN)


def test_after_a_failure_it_names_the_stage_the_reason_and_the_way_on(params: Params) -> None:
    took("planning", 0.5)
    progress.write_running("families@mlp", "Expected a finite loss, got nan. Lower it.")
    text = build_summary(params, 1, BEGAN)
    assert "✗ families@mlp failed. Expected a finite loss, got nan." in text
    assert "`make repro` continues from there" in text
    assert "make serve" not in text


def test_an_earlier_failure_is_not_reported_again(params: Params) -> None:
    progress.write_running("testing", "old")
    os.utime(progress.RUNNING, (BEGAN - 1, BEGAN - 1))
    text = build_summary(params, 1, BEGAN)
    assert "old" not in text
    assert "failed outside the stages" in text


@pytest.mark.parametrize("code", [0, 1, 255])
def test_the_command_returns_what_dvc_returned(
    params: Params, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["summary", "--exit-code", str(code), "--since", str(BEGAN)]
    assert lifecycle.main(arguments) == code
    assert "champion" in capsys.readouterr().out
