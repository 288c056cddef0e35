"""Pages show whole tables, without omitted rows."""

import ast
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

CUTS = {"head", "tail", "nlargest", "nsmallest", "sample"}
SOURCES = sorted(PROJECT.joinpath("pipeline").rglob("*.py"))


def cut_tables(source: str) -> list[int]:
    """Return the lines on which a page gets a table that is cut."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    tables = [call for call in calls if getattr(call.func, "attr", "") == "table"]
    return [call.lineno for call in tables if any(map(_is_cut, _inside(call)))]


def _inside(call: ast.Call) -> list[ast.AST]:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return [node for value in values for node in ast.walk(value)]


def _is_cut(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice)
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CUTS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_page_cuts_a_table(path: Path) -> None:
    assert cut_tables(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("cut", ["frame.head(40)", "frame[:40]", "frame.nlargest(3, 'a')"])
def test_a_cut_table_is_found(cut: str) -> None:
    assert cut_tables(f"page.table('Slices', {cut}, 'all of them')") == [1]
    assert cut_tables("page.table('Slices', frame, 'all of them')") == []
