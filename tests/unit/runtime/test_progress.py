"""The current stage, the progress of a step, and the stage that failed."""

import logging
from pathlib import Path

import pytest

from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import Params
from pipeline.runtime import progress
from tests.support import tiny_shop


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    values = tiny_shop.params()
    values["training"]["families"] = ["mlp", "gru"]
    return Params.model_validate(values)


def test_the_stages_are_counted_as_dvc_runs_them(params: Params) -> None:
    assert (
        progress.describe_position("labeling", params) == "Stage labeling"
    )  # there is no dvc.yaml
    Path("dvc.yaml").symlink_to(tiny_shop.PROJECT / "dvc.yaml")
    assert progress.describe_position("planning", params) == "Stage 1 of 10: planning"
    assert progress.describe_position("families@gru", params) == "Stage 5 of 10: families@gru"
    assert progress.describe_position("monitoring", params) == "Stage 10 of 10: monitoring"
    assert progress.describe_position("tuning", params) == "Stage tuning"


def test_a_stage_that_ends_well_leaves_nothing(params: Params) -> None:
    with progress.report_stage("labeling", params):
        assert progress.read_failure() == ("labeling", "it was stopped")  # as after a kill
    assert progress.read_failure() is None


def test_a_stage_that_fails_leaves_its_name_and_the_reason(params: Params) -> None:
    error = TrainingError("a loss", received="nan", action="Lower the rate.")
    with pytest.raises(TrainingError), progress.report_stage("families@mlp", params):
        raise error
    assert progress.read_failure() == ("families@mlp", "Expected a loss, got nan. Lower the rate.")
    with pytest.raises(KeyboardInterrupt), progress.report_stage("testing", params):
        raise KeyboardInterrupt
    assert progress.read_failure() == ("testing", "KeyboardInterrupt")


def test_a_file_gets_a_line_now_and_then_and_every_step(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 1000, 4))  # each step takes four
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    caplog.set_level(logging.INFO)
    assert list(progress.log_progress("abcdefgh", "fit", 8)) == list("abcdefgh")
    assert caplog.messages == ["fit: 37 % (3 of 8)", "fit: 75 % (6 of 8)"]


def test_what_is_soon_done_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(progress.log_progress(range(1000), "fit", 1000)) == list(range(1000))
    assert caplog.messages == []
