"""import-linter keeps the layers of pyproject.toml, and breaks on each kind of forbidden import."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

LINT = Path(sys.executable).parent / "lint-imports"
# One forbidden import per contract: the module, and what it must not import.
FORBIDDEN = {
    "A package imports only from those below it": ("metrics/ranking.py", "pipeline.serving.client"),
    "Serving:": ("serving/payloads.py", "pipeline.serving.engine.engine"),
    "Recommenders:": ("recommenders/base/graph.py", "pipeline.recommenders.registry"),
    "Training:": ("training/compare.py", "pipeline.training.refit"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages with the project's contracts."""
    ignored = shutil.ignore_patterns("__pycache__", "assets")
    shutil.copytree(PROJECT / "pipeline", tmp_path / "pipeline", ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> tuple[int, str]:
    """Return the exit code and the report of import-linter on the packages in `folder`."""
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=folder, env={"PYTHONPATH": str(folder)}, check=False,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def broken_contracts(report: str) -> list[str]:
    return re.findall(r"(?m)^(.+) BROKEN", report)


def test_every_contract_is_kept(copy: Path) -> None:
    code, report = lint(copy)
    assert (code, broken_contracts(report)) == (0, [])
    assert f"Contracts: {len(FORBIDDEN)} kept, 0 broken." in report


@pytest.mark.parametrize("contract", FORBIDDEN)
def test_a_forbidden_import_breaks_its_contract(copy: Path, contract: str) -> None:
    file, module = FORBIDDEN[contract]
    path = copy / "pipeline" / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\nimport {module}\n", encoding="utf-8")
    code, report = lint(copy)
    assert code == 1
    (broken,) = broken_contracts(report)
    assert broken.startswith(contract)


def test_an_import_inside_a_function_is_seen_too(copy: Path) -> None:
    path = copy / "pipeline" / "contracts" / "phases.py"
    late = "\n\ndef plant() -> None:\n    import pipeline.lifecycle.status\n"
    path.write_text(path.read_text(encoding="utf-8") + late, encoding="utf-8")
    assert broken_contracts(lint(copy)[1]) == ["A package imports only from those below it"]


def test_a_package_without_a_layer_is_refused(copy: Path) -> None:
    (copy / "pipeline" / "newcomer").mkdir()
    (copy / "pipeline" / "newcomer" / "__init__.py").touch()
    code, report = lint(copy)
    assert code == 1
    assert "newcomer" in report
