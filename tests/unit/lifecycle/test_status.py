from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.lifecycle import status, workspace
from pipeline.lifecycle.__main__ import main
from pipeline.lifecycle.status import ANSI, build_status, format_json, format_table, select_evidence
from pipeline.lifecycle.workspace import Workspace
from pipeline.runtime import gates

GOOD = Evidence(name="recall@10", value=0.15, bound=0.1, holds=True)
BAD = Evidence(name="input_drift", value=0.8, bound=0.25, holds=False)
UNDERFIT = Evidence(name="underfit", value=0.0129, bound=0.01, holds=False, gates=False)
NOISE = Evidence(name="label_noise", value=None, holds=False, gates=False)
WELL = Verdict(phase="testing", status="proceed", cause="It is good", evidence=(GOOD,))
WARNED = WELL.model_copy(update={"evidence": (GOOD, UNDERFIT, NOISE)})
ILL = Verdict(
    phase="monitoring",
    status="return",
    cause="The clock is wrong",
    evidence=(GOOD, BAD),
    target_phase="collection",
    action="Set it.",
)
HERE = Workspace()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_healthy_phase_is_told_by_its_first_evidence() -> None:
    assert select_evidence(WELL) is GOOD
    assert select_evidence(WARNED) is GOOD


def test_an_unhealthy_phase_is_told_by_what_does_not_hold() -> None:
    assert select_evidence(ILL) is BAD


def test_health_is_said_in_words_beside_the_mark() -> None:
    text = format_table(
        [build_status("testing", WELL, HERE), build_status("monitoring", ILL, HERE)]
    )
    assert "✓ testing     healthy" in text
    assert "✗ monitoring  not healthy: return" in text
    assert "-> back to collection: Set it." in text
    assert "see reports/monitoring/index.html" in text


def test_a_phase_with_warnings_is_amber_and_names_them_with_their_numbers() -> None:
    row = build_status("testing", WARNED, HERE)
    assert (row.health, row.colour) == ("healthy, with warnings", "amber")
    text = format_table([row])
    assert "! testing  healthy, with warnings" in text
    assert "warning: underfit 0.0129 (bound 0.01)" in text
    assert "warning: label_noise does not hold" in text
    assert format_json([row])["phases"][0]["warnings"] == (
        "underfit 0.0129 (bound 0.01)",
        "label_noise does not hold",
    )


def test_an_accepted_verdict_is_amber_with_its_reason_never_green() -> None:
    artefacts.write_verdict(ILL)
    gates.accept("monitoring", "Christmas")
    row = build_status("monitoring", ILL, HERE)
    assert (row.health, row.colour, row.accepted) == ("accepted", "amber", "Christmas")
    assert "accepted: Christmas (status: return)" in format_table([row])
    assert format_json([row])["healthy"] is False


def test_an_acceptance_of_another_failure_leaves_a_phase_red() -> None:
    artefacts.write_verdict(ILL)
    gates.accept("monitoring", "Christmas")
    other = ILL.model_copy(update={"evidence": (GOOD.model_copy(update={"holds": False}),)})
    assert build_status("monitoring", other, HERE).health == "not healthy"


@pytest.mark.parametrize(
    ("workspace", "health"),
    [
        (Workspace(changed=("params.yaml: testing",)), "changed since"),
        (Workspace(missing=("data",)), "not run here"),
        (Workspace(missing=("data",), is_cached=True), "missing"),
        (Workspace(missing=("data",), has_remote=True), "missing"),
        (Workspace(missing_inputs=("data",)), "missing"),
        (Workspace(missing=("data",), changed=("code",), is_cached=True), "changed since"),
        (Workspace(is_recorded=False), "not run here"),
    ],
)
@pytest.mark.parametrize("verdict", [WELL, WARNED])
def test_nothing_is_green_that_was_not_judged_here(
    verdict: Verdict, workspace: Workspace, health: str
) -> None:
    row = build_status("testing", verdict, workspace)
    assert row.health == health
    assert row.colour != "green"
    assert row.command is not None
    assert row.command.startswith("uv run dvc ")


def test_a_verdict_that_returns_stays_red_whatever_changed_since() -> None:
    row = build_status("monitoring", ILL, Workspace(changed=("pipeline/presentation/pages.py",)))
    assert row.colour == "red"
    assert "changed since: pipeline/presentation/pages.py" in format_table([row])


def test_a_phase_that_has_not_run_says_how_to_run_it() -> None:
    text = format_table([build_status("planning", None, Workspace(is_recorded=False))])
    assert "– planning  not run here" in text
    assert "-> `uv run dvc repro planning`" in text


def test_long_causes_are_wrapped() -> None:
    long = WELL.model_copy(update={"cause": "word " * 100})
    lines = format_table([build_status("testing", long, HERE)], 70).splitlines()
    assert max(len(line) for line in lines) <= 70


def test_colours_are_for_terminals_only() -> None:
    rows = [build_status("testing", WARNED, HERE)]
    assert "\033[" not in format_table(rows)
    assert format_table(rows, colours=ANSI).startswith("\033[33m! testing")


def test_the_circle_is_healthy_only_when_every_phase_is() -> None:
    well = build_status("testing", WELL, HERE)
    assert format_json([well])["healthy"] is True
    others = [
        build_status("planning", None, HERE),
        build_status("monitoring", ILL, HERE),
        build_status("testing", WARNED, HERE),
    ]
    for other, colour in zip(others, ["grey", "red", "amber"], strict=True):
        answer = format_json([well, other])
        assert (answer["healthy"], answer["colour"]) == (False, colour)


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "read_workspaces", lambda: dict.fromkeys(PHASES, HERE))


@pytest.mark.usefixtures("unchanged")
def test_status_answers_before_anything_has_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count("not run here") == len(PHASES)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("content", ["{", '{"phase": "monitoring"}', "[]"])
def test_a_damaged_verdict_is_an_error_that_says_what_to_do(
    content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    artefacts.write_text(content, artefacts.verdict("monitoring").path)
    assert main(["status"]) == 1
    assert "dvc repro monitoring" in capsys.readouterr().err


def test_without_a_command_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "status" in capsys.readouterr().out


def test_accept_says_what_was_missing_and_what_comes_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    artefacts.write_verdict(ILL)
    assert main(["accept", "monitoring", "--because", "Christmas"]) == 0
    out = capsys.readouterr().out
    for words in ("'return' of monitoring: Christmas", "The clock is wrong", "uv run dvc repro"):
        assert words in out
    assert "missing: input_drift 0.8 (bound 0.25)" in out
    assert len(status.gates.read_acceptances("monitoring")) == 1


@pytest.mark.parametrize("because", ["", " "])
def test_accept_without_a_reason_fails(because: str, capsys: pytest.CaptureFixture[str]) -> None:
    artefacts.write_verdict(ILL)
    assert main(["accept", "monitoring", "--because", because]) == 1
    assert "Expected a reason" in capsys.readouterr().err


def test_accept_without_a_verdict_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept", "testing", "--because", "why not"]) == 1
    assert "reports/testing/verdict.json" in capsys.readouterr().err
