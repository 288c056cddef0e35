"""Cases without an order are refused where tests are collected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT


@pytest.mark.parametrize(
    ("cases", "is_refused"), [("{'a', 'b'}", True), ("frozenset('ab')", True), ("['a']", False)]
)
def test_a_set_of_cases_is_refused(tmp_path: Path, cases: str, *, is_refused: bool) -> None:
    (tmp_path / "test_it.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('x', {cases})\ndef test_a(x): pass\n",
        encoding="utf-8",
    )
    options = ["-p", "tests.support.ordered", "-p", "no:cacheprovider", "-q", "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("Expected ordered cases" in done.stdout + done.stderr) == is_refused
    assert (done.returncode != 0) == is_refused
