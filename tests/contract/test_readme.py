"""What the README says is there is there."""

import re

from tests.support.tiny_shop import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    named = set(re.findall(r"(?m)(?:^|`)make ([a-z-]+)", README))
    assert named <= targets


def test_the_file_tree_is_true() -> None:
    tree = README.split("```text")[1].split("```")[0].strip().splitlines()
    parent = ""
    for line in tree:
        name = line.split()[0]
        nested = line.startswith("  ")
        if not nested and name.endswith("/"):
            parent = name
        path = PROJECT / (parent + name if nested else name)
        assert path.exists() or name in {"models/", "reports/"}, path


def test_every_room_is_in_the_file_tree() -> None:
    rooms = {p.parent.name for p in (PROJECT / "pipeline").glob("*/__init__.py")}
    assert all(f"  {room}/" in README for room in rooms)


def test_links_lead_somewhere() -> None:
    local = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert all((PROJECT / link).exists() for link in local)


def test_every_doi_and_file_that_is_named_is_well_formed() -> None:
    assert "/" + "work" not in README
    assert re.findall(r"doi:10\.\d{4,}/\S+", README)
