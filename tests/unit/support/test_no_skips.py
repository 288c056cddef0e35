"""A skip is a failure where all is installed."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.no_skips import VARIABLE
from tests.support.tiny_shop import PROJECT

SKIPS = (
    "import pytest\ndef test_a(): pytest.skip('no engine')",
    "import pytest\n@pytest.mark.skipif(True, reason='no engine')\ndef test_a(): 1",
    "import pytest\ndef test_a(): pytest.importorskip('no_such_package')",
    "import pytest\npytest.importorskip('no_such_package')\ndef test_a(): 1",
)


def run(folder: Path, *, no_skips: bool) -> str:
    """What pytest prints of the tests in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if no_skips:
        environment[VARIABLE] = "1"
    options = ["-p", "tests.support.no_skips", "-p", "no:cacheprovider", "-q", "-c", os.devnull]
    options += [f"--rootdir={folder}", "--continue-on-collection-errors", "--import-mode=importlib"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_a_skip_fails_where_all_is_installed_and_nothing_else_does(tmp_path: Path) -> None:
    for number, text in enumerate(SKIPS):
        (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
    other = "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\ndef test_b(): pass\n"
    (tmp_path / "test_other.py").write_text(other, encoding="utf-8")
    assert "1 passed, 4 skipped, 1 xfailed" in run(tmp_path, no_skips=False)
    assert "2 failed, 1 passed, 1 xfailed, 2 errors" in run(tmp_path, no_skips=True)


def test_ci_lets_no_test_skip_and_runs_those_of_the_peers() -> None:
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"export {VARIABLE}=1" in script
    assert script.index(VARIABLE) < script.index("make test\n") < script.index("make test-peers\n")
