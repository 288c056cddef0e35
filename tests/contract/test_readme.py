"""The files that the README names exist."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.tiny_shop import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
LAYOUT = (PROJECT / "docs" / "layout.md").read_text(encoding="utf-8")
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    named = set(re.findall(r"(?m)(?:^|`)make ([a-z-]+)", README))
    assert named <= targets


def test_the_file_tree_is_true() -> None:
    tree = LAYOUT.split("```text")[1].split("```")[0].strip().splitlines()
    parent = ""
    for line in tree:
        name = line.split()[0]
        nested = line.startswith("  ")
        if not nested and name.endswith("/"):
            parent = name
        path = PROJECT / (parent + name if nested else name)
        assert path.exists() or name in {"models/", "reports/"}, path


def test_the_file_tree_lists_the_packages_from_top_to_bottom() -> None:
    layers = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"][0]["layers"]
    expected = [name.strip() for layer in layers for name in layer.split("|")]
    assert re.findall(r"(?m)^  (\w+)/", LAYOUT) == expected


def test_the_readme_is_short() -> None:
    assert len(README.split()) < 1000


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
