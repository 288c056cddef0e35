"""Status of a DVC project of seven small stages: which states are green, and which are not."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Verdict
from pipeline.lifecycle.__main__ import main
from tests.support.tiny_shop import PROJECT

pytestmark = pytest.mark.slow

GIT = ("dvc.yaml", "dvc.lock", "params.yaml", "code.py", "verdicts", "reports")


def stages() -> dict[str, Any]:
    """The phases in a row, families before training; deployment writes a folder."""
    made: dict[str, Any] = {}
    for number, phase in enumerate(PHASES):
        verdict = f"reports/{phase}/verdict.json"
        out = "models/champion" if phase == "deployment" else f"data/{phase}.bin"
        folder = f"mkdir -p {out} && " if phase == "deployment" else ""
        file = f"{out}/model.bin" if phase == "deployment" else out
        before = PHASES[number - 1]
        deps = ["code.py", f"verdicts/{phase}.json"]
        if phase == "training":
            made["families"] = {
                "matrix": {"name": ["one"]},
                "cmd": "echo ${item.name} > one.bin",
                "outs": ["one.bin"],
            }
            deps.append("one.bin")
        if number:
            deps.append(f"reports/{before}/verdict.json")
        if phase == "monitoring":
            deps.append("models/champion")
        made[phase] = {
            "cmd": f"{folder}echo {phase} > {file} && cp verdicts/{phase}.json {verdict}",
            "deps": deps,
            "params": [phase],
            "outs": [out, {verdict: {"cache": False}}],
        }
    return made


@pytest.fixture(scope="module")
def after_a_cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cycle")
    for phase in PHASES:
        verdict = Verdict(phase=phase, status="proceed", cause=f"{phase} is well")
        path = folder / "verdicts" / f"{phase}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(verdict.model_dump_json(), encoding="utf-8")
        (folder / "reports" / phase).mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "code.py").write_text("pass\n", encoding="utf-8")
    with (folder / "params.yaml").open("w") as file:
        YAML().dump({phase: {"epochs": 4} for phase in PHASES}, file)
    with (folder / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": stages()}, file)
    for command in (["init", "--quiet", "--no-scm"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(after_a_cycle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project after its cycle, as the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(after_a_cycle, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def clone(after_a_cycle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a fresh clone of the project, as the working directory."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in GIT:
        copy = shutil.copytree if (after_a_cycle / name).is_dir() else shutil.copy
        copy(after_a_cycle / name, folder / name)
    (folder / ".dvc").mkdir()
    shutil.copy(after_a_cycle / ".dvc" / "config", folder / ".dvc" / "config")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def status(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, dict[str, Any]]]:
    """`lifecycle status --json`, by phase."""

    def rows() -> dict[str, dict[str, Any]]:
        capsys.readouterr()
        assert main(["status", "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        by_phase = {row["phase"]: row for row in answer["phases"]}
        assert list(by_phase) == list(PHASES)
        assert answer["healthy"] == all(row["colour"] == "green" for row in by_phase.values())
        return by_phase

    return rows


Rows = Callable[[], dict[str, dict[str, Any]]]


def health(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The phases that are not healthy."""
    return {p: row["health"] for p, row in rows.items() if row["health"] != "healthy"}


@pytest.mark.usefixtures("project")
def test_after_a_cycle_every_phase_is_healthy(status: Rows) -> None:
    assert health(status()) == {}


@pytest.mark.usefixtures("clone")
def test_a_fresh_clone_has_run_nothing_whatever_the_verdicts_say(status: Rows) -> None:
    rows = status()
    assert health(rows) == dict.fromkeys(PHASES, "not run here")
    assert {row["status"] for row in rows.values()} == {"proceed"}
    assert rows["testing"]["command"] == "uv run dvc repro testing"


def test_what_the_cache_has_is_missing_until_it_is_checked_out(project: Path, status: Rows) -> None:
    shutil.rmtree(project / "data")
    rows = status()
    outs = set(PHASES) - {"deployment"}
    assert health(rows) == dict.fromkeys([p for p in PHASES if p in outs], "missing")
    assert rows["testing"]["command"] == "uv run dvc checkout"
    assert rows["testing"]["missing"] == ["data/testing.bin"]


def test_what_a_remote_may_have_can_be_pulled(clone: Path, status: Rows) -> None:
    with (clone / ".dvc" / "config").open("a", encoding="utf-8") as config:
        config.write("    remote = store\n['remote \"store\"']\n    url = /nowhere\n")
    rows = status()
    assert health(rows) == dict.fromkeys(PHASES, "missing")
    assert rows["testing"]["command"] == "uv run dvc pull"


def test_without_its_champion_neither_deployment_nor_monitoring_is_healthy(
    project: Path, status: Rows
) -> None:
    shutil.rmtree(project / "models" / "champion")
    assert health(status()) == {"deployment": "missing", "monitoring": "missing"}
    shutil.rmtree(project / ".dvc" / "cache")
    assert health(status()) == {"deployment": "not run here", "monitoring": "missing"}


@pytest.mark.parametrize(
    ("path", "phases"),
    [
        ("data/collection.bin", ["collection"]),
        ("models/champion/model.bin", ["deployment", "monitoring"]),
        ("one.bin", ["training"]),
        ("code.py", list(PHASES)),
        ("verdicts/labeling.json", ["labeling"]),
    ],
    ids=["an output", "a file of a folder", "a family", "code", "an input"],
)
def test_one_byte_more_is_a_change(
    project: Path, status: Rows, path: str, phases: list[str]
) -> None:
    file = project / path
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content + b" ")
    rows = status()
    assert health(rows) == dict.fromkeys(phases, "changed since")
    assert all(path.startswith(tuple(rows[phase]["changed"])) for phase in phases)


def test_a_parameter_changes_the_phases_that_read_it(project: Path, status: Rows) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert "testing:\n  epochs: 4" in text
    changed = text.replace("testing:\n  epochs: 4", "testing:\n  epochs: 5")
    (project / "params.yaml").write_text(changed, encoding="utf-8")
    rows = status()
    assert health(rows) == {"testing": "changed since"}
    assert rows["testing"]["changed"] == ["params.yaml: testing"]


def test_a_command_changes_its_phase(project: Path, status: Rows) -> None:
    text = (project / "dvc.yaml").read_text(encoding="utf-8")
    (project / "dvc.yaml").write_text(text.replace("echo labeling", "echo  labeling"))
    assert health(status()) == {"labeling": "changed since"}


def test_a_forged_verdict_is_a_change(project: Path, status: Rows) -> None:
    verdict = Verdict(phase="testing", status="proceed", cause="Better than ever")
    path = project / "reports" / "testing" / "verdict.json"
    path.write_text(verdict.model_dump_json(), encoding="utf-8")
    assert health(status()) == {"testing": "changed since", "deployment": "changed since"}


def test_a_phase_that_never_ran_here_is_not_healthy_by_a_verdict_alone(
    project: Path, status: Rows
) -> None:
    lock = YAML().load((project / "dvc.lock").read_text(encoding="utf-8"))
    del lock["stages"]["planning"]
    with (project / "dvc.lock").open("w") as file:
        YAML().dump(lock, file)
    assert health(status()) == {"planning": "not run here"}


def test_outside_of_a_project_it_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 1
    assert "`make status`" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_reader_that_stops_reading_sees_no_traceback(option: list[str]) -> None:
    command = [sys.executable, "-m", "pipeline.lifecycle", "status", *option]
    for words in ("", "1"):
        assert unread(command, {"PYTHONUNBUFFERED": words}) == (0, "")


@pytest.mark.parametrize(
    "name",
    ["planning", "training.fit", "training.refit", "training.search", "serving", "lifecycle"],
)
def test_help_that_nobody_reads_shows_no_traceback(name: str) -> None:
    command = [sys.executable, "-m", f"pipeline.{name}", "--help"]
    assert unread(command, {"PYTHONUNBUFFERED": ""}) == (0, "")


def unread(command: list[str], changes: dict[str, str]) -> tuple[int, str]:
    """Return exit code and errors of a command that writes to a closed pipe."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **changes}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr
