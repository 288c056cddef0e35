import json
from pathlib import Path

import pytest

from pipeline import artefacts
from pipeline.lifecycle.__main__ import main
from pipeline.lifecycle.status import as_json, as_text, in_words, most_telling, status_of
from pipeline.verdicts import PHASES, Evidence, Verdict

GOOD = Evidence(name="recall@10", value=0.15, bound=0.1, holds=True)
BAD = Evidence(name="input_drift", value=0.8, bound=0.25, holds=False)
WELL = Verdict(phase="testing", status="proceed", cause="It is good", evidence=(GOOD,))
ILL = Verdict(
    phase="monitoring",
    status="return",
    cause="The clock is wrong",
    evidence=(GOOD, BAD),
    target_phase="collection",
    action="Set it.",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_healthy_phase_is_told_by_its_first_evidence() -> None:
    assert most_telling(WELL) is GOOD


def test_an_unhealthy_phase_is_told_by_what_does_not_hold() -> None:
    assert most_telling(ILL) is BAD


def test_a_number_stands_beside_its_bound() -> None:
    assert in_words(BAD) == "input_drift 0.8 (bound 0.25)"


def test_evidence_without_a_number_is_told_in_words() -> None:
    assert in_words(Evidence(name="latency", value=None, holds=False)) == "latency does not hold"
    assert in_words(None) == ""


def test_health_is_said_in_words_beside_the_mark() -> None:
    text = as_text([status_of("testing", WELL), status_of("monitoring", ILL)])
    assert "✓ testing     healthy" in text
    assert "✗ monitoring  not healthy: return" in text
    assert "-> back to collection: Set it." in text
    assert "see reports/monitoring/index.html" in text


def test_a_phase_that_has_not_run_says_how_to_run_it() -> None:
    text = as_text([status_of("planning", None)])
    assert "– planning  not run" in text
    assert "not run yet: `dvc repro planning`" in text


def test_long_causes_are_wrapped() -> None:
    long = WELL.model_copy(update={"cause": "word " * 100})
    assert max(len(line) for line in as_text([status_of("testing", long)], 60).splitlines()) <= 60


def test_the_circle_is_healthy_only_when_every_phase_is() -> None:
    well = status_of("testing", WELL)
    assert as_json([well])["healthy"] is True
    assert as_json([well, status_of("planning", None)])["healthy"] is False
    assert as_json([well, status_of("monitoring", ILL)])["healthy"] is False


@pytest.mark.usefixtures("project")
def test_status_answers_before_anything_has_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count("not run yet") == len(PHASES)


@pytest.mark.usefixtures("project")
def test_status_for_programs_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    artefacts.write_verdict(ILL)
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["phase"] for row in found["phases"]] == list(PHASES)
    assert found["phases"][-1]["target_phase"] == "collection"


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("content", ["{", '{"phase": "monitoring"}', "[]"])
def test_a_damaged_verdict_is_an_error_that_says_what_to_do(
    content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    artefacts.write_text(content, artefacts.verdict("monitoring").path)
    assert main(["status"]) == 1
    assert "dvc repro --force" in capsys.readouterr().err


def test_without_a_command_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "status" in capsys.readouterr().out
