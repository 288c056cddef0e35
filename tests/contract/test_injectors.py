"""Injectors of faults and the diagnosis know nothing of each other, not even through others."""

import ast
import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

DIAGNOSIS = "pipeline/monitoring/diagnosis"
FAULTS = "benchmarks/lifecycle/faults"
RUNNER = f"{FAULTS}/__main__.py"  # runs the diagnosis on what the injectors damaged


@cache
def imported_names(text: str) -> set[str]:
    """Return the modules that a text imports, wherever in it, and what it imports from these."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported(root: Path, file: Path) -> set[Path]:
    """Return the files below `root` that a file imports."""
    names = imported_names(file.read_text(encoding="utf-8"))
    places = [root.joinpath(*name.split(".")) for name in names]
    files = [file for at in places for file in (at.with_suffix(".py"), at / "__init__.py")]
    return {file for file in files if file.is_file()}


def reach(root: Path, folder: str) -> set[str]:
    """Return every file that the modules below `folder`, except the runner, import."""
    waiting = {file for file in (root / folder).rglob("*.py") if file != root / RUNNER}
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= imported(root, file) - seen
    return {file.relative_to(root).as_posix() for file in seen}


def forbidden(root: Path) -> list[str]:
    """Return what injectors know of the diagnosis, and what the product knows of benchmarks."""
    of_injectors = {file for file in reach(root, FAULTS) if file.startswith(DIAGNOSIS)}
    of_product = {file for file in reach(root, "pipeline") if file.startswith("benchmarks")}
    return sorted(of_injectors | of_product)


def test_injectors_and_the_diagnosis_do_not_know_each_other() -> None:
    assert f"{FAULTS}/data_faults.py" in reach(PROJECT, FAULTS)
    assert f"{DIAGNOSIS}/causes/clock_shift.py" in reach(PROJECT, DIAGNOSIS)
    assert forbidden(PROJECT) == []


@pytest.mark.parametrize(
    ("file", "line", "known"),
    [
        (f"{FAULTS}/data_faults.py", "from pipeline.monitoring.diagnosis import case", "case.py"),
        ("pipeline/monitoring/observe.py", "import pipeline.monitoring.diagnosis.case", "case.py"),
        (f"{DIAGNOSIS}/case.py", "from benchmarks.lifecycle import faults", "__init__.py"),
        ("pipeline/contracts/phases.py", "import benchmarks.lifecycle.faults", "__init__.py"),
    ],
)
def test_an_import_between_the_two_is_reported(
    tmp_path: Path, file: str, line: str, known: str
) -> None:
    for package in ("pipeline", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "assets", "results")
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=ignored)
    path = tmp_path / file
    late = f"\n\ndef plant() -> None:\n    {line}\n"
    path.write_text(path.read_text(encoding="utf-8") + late, encoding="utf-8")
    assert any(name.endswith(known) for name in forbidden(tmp_path))
