"""Every `python -m pipeline.<package>` ends with exit_with, so that `| head` shows no traceback."""

import ast
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

ENTRIES = sorted((PROJECT / "pipeline").rglob("__main__.py"))


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.parent.name)
def test_an_entry_point_ends_with_exit_with(path: Path) -> None:
    last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "__name__ == '__main__'"
    (call,) = last.body
    assert ast.unparse(call).startswith("exit_with(main")
