"""Lines that `collection.quarantined` holds out of the source, before anything uses them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contracts.artefacts import digest
from pipeline.contracts.params import HeldOut, ShopParams
from pipeline.sources.selection import is_selected

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import StringValue, TimestampValue

MEMBER = "evergreen_member"
"""The column with the position of the member of `collection.quarantined` that holds a line out."""


@dataclass(frozen=True)
class RawLines:
    """The raw table of events, divided.

    Attributes:
        retained: Rows that no member selects.
        held: The other rows, with the column `MEMBER`; None without members.
    """

    retained: "Table"
    held: "Table | None"


def divide_lines(
    raw: "Table",
    time: "TimestampValue",
    store_id: "StringValue",
    members: Sequence[HeldOut],
    shop: ShopParams,
) -> RawLines:
    """Return the retained and the held rows of a raw table; the first member that selects counts.

    Args:
        raw: The raw table of events.
        time: Timestamps of the rows, UTC: an expression of `raw`.
        store_id: Stores of the rows: an expression of `raw`.
        members: The section `collection.quarantined`.
        shop: The section with the time zone.
    """
    import ibis

    if not members:
        return RawLines(raw, None)
    branches = [
        (is_selected(time, store_id, member, shop), number) for number, member in enumerate(members)
    ]
    tagged = raw.mutate(**{MEMBER: ibis.cases(*branches)})
    return RawLines(
        retained=tagged.filter(tagged[MEMBER].isnull()).drop(MEMBER),
        held=tagged.filter(tagged[MEMBER].notnull()),
    )


def fingerprint(sha256: str, members: Sequence[HeldOut]) -> str:
    """Return the fingerprint of a raw table of events without the lines that are held out."""
    if not members:
        return sha256
    return digest([sha256, [member.model_dump(mode="json") for member in members]])
