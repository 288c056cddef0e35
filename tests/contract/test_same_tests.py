"""Every process collects the same tests in the same order: parallel workers compare their lists.

Two processes differ in the order of sets, and in the time at which they read the tests.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.support.tiny_shop import PROJECT

PLANTED = "import time, pytest\n@pytest.mark.parametrize('x', [time.time()])\ndef test_a(x): pass\n"


def start(folder: Path, seed: int) -> subprocess.Popen[str]:
    options = ["--collect-only", "-q", "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


def collect_twice(folder: Path) -> list[list[str]]:
    """Return the tests that two processes collect."""
    first = start(folder, 1)
    time.sleep(1.1)  # a second is the unit of the times in gzip and zip files
    outputs = [process.communicate()[0] for process in (first, start(folder, 2))]
    return [[line for line in output.splitlines() if "::" in line] for output in outputs]


def test_all_processes_collect_the_same_tests() -> None:
    first, second = collect_twice(PROJECT / "tests")
    assert len(first) > 1
    assert first == second


def test_a_test_that_is_named_by_the_time_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PLANTED, encoding="utf-8")
    first, second = collect_twice(tmp_path)
    assert len(first) == len(second) == 1
    assert first != second
