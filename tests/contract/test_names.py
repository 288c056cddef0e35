"""Names in pipeline/: one class name means one thing, and a name names the thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

PIPELINE = PROJECT / "pipeline"
VAGUE = {"found", "each", "told", "there", "said", "them"}
NAME_FIELDS: dict[type[ast.AST], str] = {
    ast.Name: "id",
    ast.Attribute: "attr",
    ast.arg: "arg",
    ast.alias: "asname",
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}


def nodes(folder: Path) -> Iterator[tuple[str, ast.AST]]:
    """Yield every syntax node of the modules below `folder`, with its module's path."""
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield name, node


def shared_class_names(folder: Path) -> list[str]:
    """Return the class names that several classes below `folder` have, and where these are."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, node in nodes(folder):
        if isinstance(node, ast.ClassDef):
            places[node.name].append(f"{path}:{node.lineno}")
    return [f"{name}: {', '.join(at)}" for name, at in sorted(places.items()) if len(at) > 1]


def bound_name(node: ast.AST) -> str | None:
    """Return the name that a syntax node gives to something; a node that reads gives none.

    >>> [bound_name(node) for node in ast.walk(ast.parse("query = answers"))]
    [None, None, 'query', None, None, None]
    """
    is_read = not isinstance(getattr(node, "ctx", ast.Store()), ast.Store)
    return None if is_read else getattr(node, NAME_FIELDS.get(type(node), ""), None)


def vague_names(folder: Path) -> list[str]:
    """Return where modules below `folder` give something a vague name; underscores do not help."""
    return [
        f"{path}:{getattr(node, 'lineno', 0)}: {name}"
        for path, node in nodes(folder)
        if (name := bound_name(node)) is not None and name.strip("_") in VAGUE
    ]


def test_a_class_name_means_one_thing() -> None:
    assert shared_class_names(PIPELINE) == []


def test_a_class_name_that_means_two_things_is_reported(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "one.py").write_text("class Public:\n    pass\n\n\nclass _Private:\n    pass\n")
    (tmp_path / "inner" / "two.py").write_text("def make():\n    class _Private:\n        pass\n")
    assert shared_class_names(tmp_path) == ["_Private: inner/two.py:2, one.py:5"]


def test_no_name_is_vague() -> None:
    assert vague_names(PIPELINE) == []


@pytest.mark.parametrize(
    "code",
    [
        "{} = 1",
        "{}: int = 1",
        "(first, *{}) = (1, 2)",
        "print({} := 1)",
        "for {} in (): pass",
        "pairs = [0 for {} in ()]",
        "def function({}): pass",
        "def function(*, {}=0): pass",
        "lambda {}: 0",
        "def {}(): pass",
        "class Row:\n    {}: int",
        "self.{} = 1",
        "self._{} = 1",
        "import math as {}",
        "with open() as {}: pass",
        "try: pass\nexcept OSError as {}: pass",
        "match 1:\n    case {}: pass",
        "match 1:\n    case [*{}]: pass",
        "match 1:\n    case {{**{}}}: pass",
    ],
)
def test_a_vague_name_is_reported(code: str, tmp_path: Path) -> None:
    for name in sorted(VAGUE):
        (tmp_path / "module.py").write_text(code.format(name))
        (finding,) = vague_names(tmp_path)
        assert finding.startswith("module.py:")
        assert finding.endswith(name)


def test_a_name_that_is_only_read_or_contains_such_a_word_is_not_reported(tmp_path: Path) -> None:
    code = 'print(found, match.found)\nn_found = "there"\n# said\nlookup(each=1)\n'
    (tmp_path / "module.py").write_text(code)
    assert vague_names(tmp_path) == []
