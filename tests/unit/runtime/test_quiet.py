"""TensorFlow's lines about the machine are suppressed; all other output of its import is not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.quiet import NOISE, filter_stderr
from tests.support.tiny_shop import PROJECT

LOADED = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795771708.804281    3088 cudart_stub.cc:31] Could not find cuda drivers on your machine
E0000 00:00:1795773957.356551   23936 cuda_platform.cc:52] failed call to cuInit
"""
PACKAGE = """import os
os.write(2, {text!r}.encode())
{then}
"""


def imported(folder: Path, then: str = "value = 1") -> "subprocess.CompletedProcess[str]":
    """Return the output of a process that imports a package named tensorflow as stages do."""
    package = folder / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE.format(text=LOADED, then=then))
    (package / "data.py").write_text("several = 2\n")
    code = (
        "from pipeline.runtime.stage import quiet_tools\n"
        "quiet_tools(); quiet_tools()\n"
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "import tensorflow.data, tensorflow\n"
        "print(tensorflow.value, tensorflow.data.several)\n"
        "print(tensorflow.__spec__.loader.get_filename())\n"
        "sys.stderr.write('after\\n')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )


def test_an_import_says_only_what_matters(tmp_path: Path) -> None:
    done = imported(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "2", str(tmp_path / "tensorflow" / "__init__.py")]
    assert done.stderr.splitlines() == [LOADED.splitlines()[2], "after"]


def test_an_import_that_fails_says_all(tmp_path: Path) -> None:
    done = imported(tmp_path, then="raise ImportError('no such library')")
    assert done.returncode == 1
    assert LOADED in done.stderr
    assert "no such library" in done.stderr


def test_what_is_held_back_comes_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def break_down() -> None:
        with filter_stderr(re.compile("noise")):
            sys.stderr.write("noise\n")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  the one above
        break_down()
    assert capfd.readouterr().err == "noise\n"


@pytest.mark.parametrize("line", [*LOADED.splitlines()[:2], "I0000 00:00:17.1 1 port.cc:153] x"])
def test_noise_is_told_from_the_rest(line: str) -> None:
    assert NOISE.match(line)
    assert not NOISE.match("E" + line)
