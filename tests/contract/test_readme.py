"""The files that the README names exist."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
LAYOUT = (PROJECT / "docs" / "layout.md").read_text(encoding="utf-8")
MOST_WORDS = 1000
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    named = set(re.findall(r"(?m)(?:^|`)make ([a-z-]+)", README))
    assert named <= targets


def missing_files(layout: str) -> list[str]:
    """Return the paths in the file tree of a page that do not exist; a cycle writes the others."""
    tree = layout.split("```text")[1].split("```", maxsplit=1)[0].strip().splitlines()
    parent, paths = "", []
    for line in tree:
        name = line.split()[0]
        nested = line.startswith("  ")
        if not nested and name.endswith("/"):
            parent = name
        paths.append(parent + name if nested else name)
    known = {"models/", "reports/"}
    return [path for path in paths if path not in known and not (PROJECT / path).exists()]


def listed_packages(layout: str) -> list[str]:
    """Return the packages in the file tree of a page, in its order."""
    return re.findall(r"(?m)^  (\w+)/", layout)


def layers() -> list[str]:
    """Return the packages from top to bottom, as import-linter keeps them."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [name.strip() for layer in contract["layers"] for name in layer.split("|")]


def test_the_file_tree_is_true() -> None:
    assert missing_files(LAYOUT) == []


def test_a_file_that_the_tree_invents_is_found() -> None:
    package = "  lifecycle/"
    assert package in LAYOUT
    invented = LAYOUT.replace(package, f"  nowhere/  a package\n{package}")
    assert missing_files(invented) == ["pipeline/nowhere/"]
    assert missing_files("```text\nREADME.md\nGONE.md  a page\nmodels/\n```") == ["GONE.md"]


def test_the_file_tree_lists_the_packages_from_top_to_bottom() -> None:
    assert listed_packages(LAYOUT) == layers()


def test_a_package_that_the_tree_leaves_out_or_moves_is_found() -> None:
    line = next(line for line in LAYOUT.splitlines() if line.startswith("  lifecycle/"))
    without = LAYOUT.replace(f"{line}\n", "")
    assert listed_packages(without) == layers()[1:]
    assert listed_packages(without.replace("  monitoring/", f"  monitoring/\n{line}")) != layers()


def is_short(text: str) -> bool:
    return len(text.split()) < MOST_WORDS


def test_the_readme_is_short() -> None:
    assert is_short(README)


def test_a_readme_that_grows_is_found() -> None:
    n_missing = MOST_WORDS - len(README.split())
    assert is_short(README + " word" * (n_missing - 1))
    assert not is_short(README + " word" * n_missing)


def broken_links(page: Path) -> list[str]:
    """Links of a page to files that do not exist."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [link.split("#")[0] for link in links if "://" not in link]
    return [link for link in local if link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("[here](page.md) [gone](gone.md#part) [web](https://x.org)")
    assert broken_links(tmp_path / "page.md") == [["gone.md", "part"][0]]


def test_every_page_is_in_the_index() -> None:
    index = (PROJECT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in PROJECT.glob("docs/*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    assert "/" + "work" not in page.read_text(encoding="utf-8")
