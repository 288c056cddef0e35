"""Masks of the lines that a declared correction or quarantine selects."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.contracts.params import LineSelection, ShopParams

if TYPE_CHECKING:
    from ibis.expr.types import BooleanValue, StringValue, TimestampValue, Value


def is_selected(
    time: "TimestampValue", store_id: "StringValue", selection: LineSelection, shop: ShopParams
) -> "BooleanValue":
    """Return a mask of the lines in the days and the store of `selection`, without nulls.

    A limit does not select lines whose value is missing.

    Args:
        time: Timestamps as delivered, UTC.
        store_id: Stores as delivered.
        selection: The limits; days are days of the shop's calendar.
        shop: The section with the time zone.
    """
    import ibis

    mask = ibis.literal(value=True)
    if selection.from_day is not None:
        mask &= time >= _literal(shop.midnight(selection.from_day))
    if selection.to_day is not None:
        mask &= time < _literal(shop.midnight(selection.to_day))
    if selection.store_id is not None:
        mask &= store_id == selection.store_id
    return mask.fill_null(ibis.literal(value=False))


def _literal(moment: datetime) -> "Value":
    import ibis

    return ibis.literal(moment.astimezone(UTC).replace(tzinfo=None), "timestamp(6)")
