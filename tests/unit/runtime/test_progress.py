"""Which stage of how many, how far a step is, and which stage did not end well."""

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
    assert progress.place_of("labeling", params) == "Stage labeling"  # there is no dvc.yaml
    Path("dvc.yaml").symlink_to(tiny_shop.PROJECT / "dvc.yaml")
    assert progress.place_of("planning", params) == "Stage 1 of 10: planning"
    assert progress.place_of("families@gru", params) == "Stage 5 of 10: families@gru"
    assert progress.place_of("monitoring", params) == "Stage 10 of 10: monitoring"
    assert progress.place_of("tuning", params) == "Stage tuning"


def test_a_stage_that_ends_well_leaves_nothing(params: Params) -> None:
    with progress.shown("labeling", params):
        assert progress.stopped() == ("labeling", "it was stopped")  # as if it were killed now
    assert progress.stopped() is None


def test_a_stage_that_fails_leaves_its_name_and_the_reason(params: Params) -> None:
    error = TrainingError("a loss", received="nan", action="Lower the rate.")
    with pytest.raises(TrainingError), progress.shown("families@mlp", params):
        raise error
    assert progress.stopped() == ("families@mlp", "Expected a loss, got nan. Lower the rate.")
    with pytest.raises(KeyboardInterrupt), progress.shown("testing", params):
        raise KeyboardInterrupt
    assert progress.stopped() == ("testing", "KeyboardInterrupt")


def test_a_file_gets_a_line_now_and_then_and_every_step(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 1000, 4))  # each step takes four
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    caplog.set_level(logging.INFO)
    assert list(progress.steps("abcdefgh", "fit", 8)) == list("abcdefgh")
    assert caplog.messages == ["fit: 37 % (3 of 8)", "fit: 75 % (6 of 8)"]


def test_what_is_soon_done_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(progress.steps(range(1000), "fit", 1000)) == list(range(1000))
    assert caplog.messages == []
