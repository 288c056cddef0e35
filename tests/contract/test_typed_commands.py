"""Every command in docs and messages works as typed in the project's root."""

import argparse
import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.contracts.errors import EvergreenError, adapt_commands
from tests.support.tiny_shop import PROJECT

TOOLS = ("dvc", "python", "python3", "bentoml", "mlflow", "pytest", "ruff", "mypy", "pip", "uv")
# Records of decisions and experiments are not updated.
RECORDS = {"docs/decisions.md", "docs/experiments.md"}
# Tools that any machine has, or that the page says to install.
SYSTEM = {"git", "cd", "curl", "export", "docker", "kubectl", "helm", "createdb", "psql", "sudo"}
DVC_COMMANDS = {
    *("repro", "checkout", "pull", "push", "status", "gc"),
    *("exp run", "exp show", "remote add", "metrics show", "plots show"),
}
PLACEHOLDER = "X1"


def targets() -> set[str]:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"(?m)^([a-z-]+):", makefile))


def stages() -> set[str]:
    pipeline = YAML(typ="safe", pure=True).load((PROJECT / "dvc.yaml").read_text())
    return set(pipeline["stages"])


class Parsed(Exception):  # noqa: N818  no error: the command line was understood
    """Raised in place of the rest of the command."""


def problem_of(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what is wrong with a typed command, or ''."""
    words = shlex.split(command.replace("[", "").replace("]", ""), comments=True)
    match words:
        case ["make", target, *_]:
            return "" if target in targets() else f"no target '{target}'"
        case ["uv", "add" | "sync", *_]:
            return ""
        case ["uv", "run", "dvc", *rest]:
            return _dvc(rest)
        case ["uv", "run", "python", "-m", module, *rest]:
            return _module(module, rest, monkeypatch)
        case ["uv", "run", "python", "-c", _] | ["uv", "run", "bentoml" | "mlflow", *_]:
            return ""
    return "it begins neither with make nor with uv run"


def _dvc(words: list[str]) -> str:
    if words[0] not in DVC_COMMANDS and " ".join(words[:2]) not in DVC_COMMANDS:
        return f"no command '{words[0]}' of DVC is known to this test"
    named = [word for word in words[1:] if words[0] == "repro" and not word.startswith("-")]
    missing = set(named) - stages() - {PLACEHOLDER}
    return f"no stage {missing}" if missing else ""


def _module(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    if name == f"pipeline.{PLACEHOLDER}" or "<" in name:
        return ""
    file = PROJECT / Path(*name.split("."))
    if not (file / "__main__.py").exists() and not file.with_suffix(".py").exists():
        return f"no module '{name}'"
    if not name.startswith("pipeline."):
        return ""
    main = importlib.import_module(f"{name}.__main__").main
    parse = argparse.ArgumentParser.parse_args

    def understood(self: argparse.ArgumentParser, *given: Any) -> None:
        parse(self, *given)
        raise Parsed

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_args", understood)
        try:
            code = main([word for word in words if word != "…"])
        except Parsed:
            return ""
        except SystemExit as error:
            code = error.code
    return "" if code == 0 else f"its own parser does not understand it: {words}"


def messages() -> Iterator[tuple[str, str]]:
    """Yield every string of the code but docstrings, with placeholders for inserted values."""
    for path in sorted([*PROJECT.glob("pipeline/**/*.py"), *PROJECT.glob("benchmarks/**/*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        parts = {
            id(value)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for value in node.values
        }
        for node in ast.walk(tree):
            if id(node) not in docstrings | parts and (text := _text(node)):
                yield f"{path.relative_to(PROJECT)}:{node.lineno}", text  # type: ignore[attr-defined]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) or PLACEHOLDER for value in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def commands_in(text: str) -> list[str]:
    """Return the commands between backticks that begin with the name of a tool, or with make."""
    matches = re.findall(r"`([^`\n]+)`", text)
    return [code for code in matches if code.split()[0] in (*TOOLS, "make") and " " in code]


def fenced(text: str) -> list[str]:
    """Return the command lines of shell fences and indented blocks."""
    blocks = re.findall(r"(?ms)^```(?:sh|bash|console)\n(.*?)^```", text)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines += re.findall(rf"(?m)^    ((?:{'|'.join(TOOLS)}|make) .+)$", text)
    return [part.strip() for line in lines for part in re.split(r"&&|\|\s", line) if part.strip()]


def pages() -> list[Path]:
    matches = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    return [path for path in matches if str(path.relative_to(PROJECT)) not in RECORDS]


def test_every_command_in_a_message_works_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = [(place, code) for place, text in messages() for code in commands_in(text)]
    assert len(matches) > 30
    wrong = [
        f"{place}: `{code}`: {problem}"
        for place, code in matches
        if (problem := problem_of(code, monkeypatch))
    ]
    assert wrong == []


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_every_command_of_a_page_works_as_typed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text(encoding="utf-8")
    typed = [line for line in fenced(text) if not line.startswith("#")]
    wrong = [
        f"{code}: {problem}"
        for code in [*typed, *commands_in(text)]
        if code.split()[0] not in SYSTEM and "=" not in code.split()[0]
        if (problem := problem_of(code, monkeypatch))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "command",
    [
        "dvc repro",
        "python -m pipeline.lifecycle status",
        "make brew",
        "uv run dvc repro baking",
        "uv run dvc unite",
        "uv run python -m pipeline.nothing",
        "uv run python -m pipeline.serving key create",  # which scopes?
        "uv run python -m pipeline.serving fly",
    ],
)
def test_a_command_that_fails_as_typed_is_seen(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands_in(f"Run `{command}`.") == [command]
    assert problem_of(command, monkeypatch)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a machine without uv, after `make install`, as its stages see it."""
    monkeypatch.chdir(tmp_path)
    uv = tmp_path / ".uv" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}:{tmp_path / 'usr' / 'bin'}")
    return tmp_path


def test_where_make_installed_uv_messages_name_that_one(bare: Path) -> None:
    error = EvergreenError("A", received="b", action="Run `uv run dvc repro`.")
    assert str(error) == "Expected A, got b. Run `.uv/bin/uv run dvc repro`."
    system = bare / "usr" / "bin" / "uv"
    system.parent.mkdir(parents=True)
    system.touch(mode=0o755)
    assert adapt_commands("Run `uv run dvc repro`.") == "Run `uv run dvc repro`."
