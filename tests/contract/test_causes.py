"""Every cause that a verdict can name is in docs/causes.md, and nothing else."""

import re

from pipeline.monitoring import decide
from pipeline.monitoring.diagnosis.catalogue import CATALOGUE
from tests.support.tiny_shop import PROJECT

ROWS = re.compile(r"^\| `([a-z_]+)` \|", re.MULTILINE)


def list_causes() -> set[str]:
    decisions = (row for row in vars(decide).values() if isinstance(row, decide.Decision))
    return {cause.name for cause in CATALOGUE} | {row.name for row in decisions} | {"unknown"}


def test_the_table_of_causes_is_complete() -> None:
    text = (PROJECT / "docs" / "causes.md").read_text(encoding="utf-8")
    assert set(ROWS.findall(text)) == list_causes()


def test_a_row_that_is_taken_out_is_missed() -> None:
    text = (PROJECT / "docs" / "causes.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `unit_change`"))
    assert set(ROWS.findall(text.replace(row, ""))) != list_causes()
