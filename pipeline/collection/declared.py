"""What the declared corrections and quarantines of params.yaml did to the lines of the source."""

from typing import TYPE_CHECKING

from pipeline.collection.manifest import CorrectionCount, HeldOutCount
from pipeline.contracts.params import CollectionParams
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import AppliedCorrection, Source
from pipeline.sources.corrections import NEW, OLD
from pipeline.sources.held_out import MEMBER

if TYPE_CHECKING:
    from ibis import Table

HELD_OUT = "held out: "
"""Beginning of the rule of lines that are held out; the member's reason follows."""


def count_corrections(source: Source) -> tuple[CorrectionCount, ...]:
    """Return the number of lines that each correction changes or drops, in order.

    Raises:
        SourceError: If the source cannot be read.
    """
    return tuple(map(_count, source.corrections))


def _count(applied: AppliedCorrection) -> CorrectionCount:
    lines = applied.lines
    n_lines = fetch(lines.aggregate(n=lines.count()))["n"][0].as_py()
    n_merged_ids = 0
    if applied.id_map is not None:
        old_ids = lines.group_by(NEW).aggregate(n=lines[OLD].nunique())
        merged = old_ids.filter(old_ids.n > 1)
        n_merged_ids = fetch(merged.aggregate(n=merged.count()))["n"][0].as_py()
    return CorrectionCount(
        description=applied.description, n_lines=n_lines, n_merged_ids=n_merged_ids
    )


def count_held_out(source: Source, params: CollectionParams) -> tuple[HeldOutCount, ...]:
    """Return the number of lines that each member of `collection.quarantined` holds out, in order.

    Raises:
        SourceError: If the source cannot be read.
    """
    if source.held_out is None:
        return ()
    held = source.held_out
    counted = fetch(held.group_by(MEMBER).aggregate(n=held.count())).to_pylist()
    n_lines = {row[MEMBER]: row["n"] for row in counted}
    return tuple(
        HeldOutCount(description=member.describe(), n_lines=n_lines.get(number, 0))
        for number, member in enumerate(params.quarantined)
    )


def add_held_out(tagged: "Table", source: Source, params: CollectionParams) -> "Table":
    """Return the tagged events and the lines that are held out, whose `rule` says why."""
    import ibis

    if source.held_out is None:
        return tagged
    branches = [
        (source.held_out[MEMBER] == number, HELD_OUT + member.because)
        for number, member in enumerate(params.quarantined)
    ]
    held = source.held_out.mutate(rule=ibis.cases(*branches))
    return ibis.union(tagged, held.select(*tagged.columns))
