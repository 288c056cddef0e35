"""Id columns of files as text: `1003` also where a program wrote `1003.0`.

A program that meets a missing value in a column of whole numbers turns them into floats. Only such
columns change: `007` stays `007`, and `1.0` beside `1` stays `1.0`. Spaces at the ends are removed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import Column, StringValue

NO_ID = ("", "<na>", "nan", "nat", "none", "null")
"""Texts that stand for a missing id, in lower case, as programs write it."""

_WHOLE, _FLOAT = r"^\d+$", r"^\d+\.0+$"


@dataclass(frozen=True)
class IdFormat:
    """How an id column is read; `are_floats` if its texts are whole numbers with `.0`."""

    are_floats: bool = False

    def describe(self) -> str:
        """Return the change in words; empty without one."""
        return "whole numbers without the '.0'" if self.are_floats else ""


def find_id_format(table: "Table", own: str) -> IdFormat:
    """Return how the id column `own` of a file is written."""
    column = table[own]
    if column.type().is_floating():
        return IdFormat(are_floats=True)
    if not column.type().is_string():
        return IdFormat()
    text = column.strip()
    counts = table.aggregate(
        floats=text.re_search(_FLOAT).sum(), whole=text.re_search(_WHOLE).sum()
    ).to_pyarrow()
    return IdFormat(bool(counts["floats"][0].as_py()) and not counts["whole"][0].as_py())


def read_ids(column: "Column", how: IdFormat) -> "StringValue":
    """Return the ids as text; null where a program wrote a missing value."""
    import ibis

    if column.type().is_floating():
        whole = column.try_cast("int64")
        text = ibis.ifelse(whole == column, whole.cast("string"), column.cast("string"))
    else:
        text = column.cast("string").strip()
        if how.are_floats:
            text = ibis.ifelse(text.re_search(_FLOAT), text.re_replace(r"\.0+$", ""), text)
    return ibis.ifelse(text.lower().isin(NO_ID), ibis.null("string"), text)
