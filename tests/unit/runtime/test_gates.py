import importlib
import json
from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError, GateError
from pipeline.contracts.params import Params
from pipeline.contracts.phases import Phase
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.runtime import gates
from pipeline.runtime.stage import stage
from pipeline.runtime.tracking import Run
from tests.support import tiny_shop

RECALL = Evidence(name="recall@10", value=0.15, bound=0.14, holds=True)
NARROW = Evidence(name="coverage@10", value=0.0123, bound=0.05, holds=False)
UNFAIR = Evidence(name="fairness_gap", value=0.5, bound=0.3, holds=False)
UNDERFIT = Evidence(name="underfit", value=0.0129, bound=0.01, holds=False, gates=False)
AFTER: dict[str, Phase] = {
    "collection": "planning",
    "labeling": "collection",
    "families": "labeling",
    "training": "labeling",
    "testing": "training",
    "refit": "testing",
    "deployment": "testing",
    "monitoring": "deployment",
}


def returned(*evidence: Evidence, phase: Phase = "testing", cause: str = "too few") -> Verdict:
    return Verdict(
        phase=phase,
        status="return",
        cause=cause,
        evidence=evidence,
        target_phase="training",
        action="Widen the lists.",
    )


def stopped(*evidence: Evidence, phase: Phase = "planning") -> Verdict:
    return Verdict(phase=phase, status="stop", cause="Not worth it", evidence=evidence)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_store(shop_folder: Path) -> Path:
    values = tiny_shop.params()
    values["tracking"]["uri"] = "sqlite:////no/such/folder/mlflow.db"
    tiny_shop.write_params(shop_folder / "params.yaml", values)
    tiny_shop.write_verdicts(shop_folder)
    return shop_folder


@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("status", ["return", "stop"])
def test_no_stage_starts_after_a_verdict_that_does_not_proceed(
    name: str, status: str, shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after = AFTER[name]
    bad = returned(NARROW, phase=after) if status == "return" else stopped(NARROW, phase=after)
    artefacts.write_verdict(bad)
    champion = shop_folder / "models" / "champion" / "model.json"
    champion.parent.mkdir(parents=True)
    champion.write_text("old", encoding="utf-8")
    module = {"families": "training.fit.__main__", "refit": "training.refit"}.get(name)
    main = importlib.import_module(f"pipeline.{module or f'{name}.__main__'}").main
    assert main(["mlp"] if name == "families" else []) == 1
    assert f"'{status}': {bad.cause}" in caplog.text
    assert f"`uv run dvc repro {after}`" in caplog.text
    assert f"`uv run python -m pipeline.lifecycle accept {after} --because" in caplog.text
    assert champion.read_text(encoding="utf-8") == "old"


@pytest.mark.usefixtures("project")
def test_a_missing_verdict_lets_nothing_start() -> None:
    with pytest.raises(ArtefactError, match=r"reports/testing/verdict\.json"):
        gates.check_gate("deployment", "testing")


@pytest.mark.usefixtures("project")
def test_a_verdict_that_proceeds_lets_the_next_stage_start_with_warnings_too() -> None:
    good = Verdict(phase="testing", status="proceed", cause="Good", evidence=(RECALL, UNDERFIT))
    artefacts.write_verdict(good)
    assert gates.check_gate("deployment", "testing") is None


@pytest.mark.usefixtures("project")
def test_an_accepted_verdict_lets_the_next_stage_start() -> None:
    artefacts.write_verdict(returned(RECALL, NARROW, UNDERFIT))
    made = gates.accept("testing", "  The catalogue is\nnew ")
    assert made.because == "The catalogue is new"
    assert made.failing == ("coverage@10",)
    assert made.missing == ("coverage@10 0.0123 (bound 0.05)",)
    assert gates.check_gate("deployment", "testing") == made
    assert gates.read_acceptances("testing") == [made]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "later",
    [
        returned(UNFAIR),
        returned(NARROW, UNFAIR),
        returned(),
        stopped(NARROW, phase="testing"),
    ],
    ids=["another check", "one more check", "no check", "another status"],
)
def test_an_acceptance_covers_nothing_else(later: Verdict) -> None:
    artefacts.write_verdict(returned(NARROW))
    gates.accept("testing", "The catalogue is new")
    artefacts.write_verdict(later)
    with pytest.raises(GateError, match="accept testing"):
        gates.check_gate("deployment", "testing")


@pytest.mark.usefixtures("project")
def test_an_acceptance_covers_the_same_check_with_another_number() -> None:
    artefacts.write_verdict(returned(NARROW, cause="coverage 0.0123"))
    made = gates.accept("testing", "The catalogue is new")
    again = NARROW.model_copy(update={"value": 0.0124})
    artefacts.write_verdict(returned(again, cause="coverage 0.0124"))
    assert gates.check_gate("deployment", "testing") == made


@pytest.mark.usefixtures("project")
def test_without_failing_evidence_the_cause_is_what_is_accepted() -> None:
    artefacts.write_verdict(returned(cause="labels moved"))
    gates.accept("testing", "They are right")
    artefacts.write_verdict(returned(cause="inputs moved"))
    with pytest.raises(GateError):
        gates.check_gate("deployment", "testing")


@pytest.mark.usefixtures("project")
def test_an_acceptance_of_one_phase_is_none_of_another() -> None:
    artefacts.write_verdict(returned(NARROW))
    artefacts.write_verdict(returned(NARROW, phase="labeling"))
    gates.accept("testing", "The catalogue is new")
    assert Path("data/accepted/testing.json").exists()
    assert not Path("data/accepted/labeling.json").exists()
    with pytest.raises(GateError):
        gates.check_gate("families", "labeling")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("because", ["", "  ", "\n"])
def test_an_acceptance_needs_a_reason(because: str) -> None:
    artefacts.write_verdict(returned(NARROW))
    with pytest.raises(GateError, match="Expected a reason"):
        gates.accept("testing", because)
    assert not gates.FOLDER.exists()


@pytest.mark.usefixtures("project")
def test_there_is_nothing_to_accept_without_a_verdict_or_where_it_proceeds() -> None:
    with pytest.raises(ArtefactError, match=r"reports/testing/verdict\.json"):
        gates.accept("testing", "why not")
    artefacts.write_verdict(Verdict(phase="testing", status="proceed", cause="Good"))
    with pytest.raises(GateError, match="nothing to accept"):
        gates.accept("testing", "why not")
    assert not gates.FOLDER.exists()


@pytest.mark.usefixtures("project")
def test_what_is_accepted_is_not_accepted_again_but_another_failure_is() -> None:
    artefacts.write_verdict(returned(NARROW))
    first = gates.accept("testing", "The catalogue is new")
    with pytest.raises(GateError, match="The catalogue is new"):
        gates.accept("testing", "again")
    artefacts.write_verdict(returned(UNFAIR))
    second = gates.accept("testing", "Few such shoppers")
    assert gates.read_acceptances("testing") == [first, second]


@pytest.mark.usefixtures("project")
def test_a_damaged_acceptance_is_an_error_that_says_what_to_do() -> None:
    artefacts.write_verdict(returned(NARROW))
    artefacts.write_text(json.dumps({"phase": "testing"}), gates.acceptance_path("testing"))
    with pytest.raises(ArtefactError, match=r"git checkout data/accepted/testing\.json"):
        gates.check_gate("deployment", "testing")


@pytest.mark.usefixtures("without_store")
def test_a_stop_exits_with_1_until_it_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    @stage("planning", after=None)
    def main(params: Params, run: Run) -> Verdict:
        return stopped(Evidence(name="users", value=25, bound=200, holds=False))

    assert main([]) == 1
    gates.accept("planning", "A first trial")
    assert main([]) == 0
    assert artefacts.read_verdict("planning").status == "stop"


@pytest.mark.usefixtures("without_store")
def test_a_stage_says_by_whose_word_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    @stage("deployment", after="testing")
    def main(params: Params, run: Run) -> Verdict:
        return Verdict(phase="deployment", status="proceed", cause="Done")

    artefacts.write_verdict(returned(NARROW))
    assert main([]) == 1
    gates.accept("testing", "The catalogue is new")
    assert main([]) == 0
    assert "testing says 'return', accepted: The catalogue is new" in caplog.text


def test_a_stage_cannot_leave_its_gate_out() -> None:
    with pytest.raises(TypeError, match="after"):
        stage("testing")  # type: ignore[call-arg]
