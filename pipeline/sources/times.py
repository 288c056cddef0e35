"""Time columns of files: how they are written, and their moments in UTC.

Design choices:

- A text with an offset (`-0500`, `+02:00`, `Z`, `UTC`) and a number since 1970 are moments;
  `timestamps_are` decides about all others.
- Whether day or month comes first is one decision for a column: from a number above 12, or from the
  dots of `31.12.2024`. A column that leaves it open is an error, because a guess would be silent.
- Texts of no known shape become null, and collection shows them in the quarantine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import ShopParams, SourceParams, TableSource
from pipeline.sources.reading import convert_to_utc
from pipeline.sources.time_shapes import TimeShape, is_ambiguous, read_shape

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import Column, IntegerValue, StringValue, TimestampValue

TIMESTAMP = "timestamp(6)"
DAYS_AFTER_AS_OF = 366
MONTHS_OF_A_YEAR = 12
MOSTLY = 99
"""So many times more dates must tell one order of day and month than the other."""
MAXIMUM_SHAPES = 500
"""The most frequent shapes are read: months by name have hundreds, free text has thousands."""


@dataclass(frozen=True)
class TimeFormat:
    """How a time column is read.

    Attributes:
        shapes: The shapes of its texts; empty for typed columns.
        first: Its earliest plausible wall-clock time; None if all its times are moments.
        last: Its latest plausible wall-clock time.
    """

    shapes: tuple[TimeShape, ...] = ()
    first: datetime | None = None
    last: datetime | None = None

    def describe(self) -> str:
        """Return the kinds of date and the clock in words; empty for a typed column in UTC."""
        kinds = dict.fromkeys(shape.kind for shape in self.shapes)
        clock = "" if self.first is None else "times of the shop's clock"
        return ", ".join(part for part in (*kinds, clock) if part)


def end(source: SourceParams, shop: ShopParams) -> datetime:
    """Return the first moment that the files do not cover, UTC."""
    return shop.midnight(source.ends or shop.as_of + timedelta(days=DAYS_AFTER_AS_OF))


def find_format(
    table: "Table", own: str, mapping: TableSource, source: SourceParams, shop: ShopParams
) -> TimeFormat:
    """Return how the column `own` of a file is written.

    Raises:
        SourceError: If the type holds no times, or if nothing tells whether day or month is first.
    """
    column = table[own]
    if not (_is_written(column) or column.type().is_date() or column.type().is_timestamp()):
        raise SourceError(
            f"times in the column '{own}' of '{mapping.file}'",
            received=str(column.type()),
            action="Export them as timestamps, or as text such as 2024-01-31 18:05:00.",
        )
    shapes = _find_shapes(table, own, mapping) if _is_written(column) else ()
    if source.timestamps_are == "utc" or _has_typed_zone(column):
        return TimeFormat(shapes)
    local = tuple(shape for shape in shapes if not shape.has_zone)
    if _is_written(column) and not local:
        return TimeFormat(shapes)
    lowest, highest = (
        moment.astimezone(UTC).replace(tzinfo=None)
        for moment in (shop.midnight(source.begins), end(source, shop) + timedelta(days=2))
    )
    times = table.select(time=_read_wall_clock(column, local))
    times = times.filter(times.time >= lowest, times.time <= highest)
    row = times.aggregate(first=times.time.min(), last=times.time.max()).to_pyarrow()
    return TimeFormat(shapes, row["first"][0].as_py(), row["last"][0].as_py())


def read_times(column: "Column", how: TimeFormat, shop: ShopParams) -> "TimestampValue":
    """Return the column as moments in UTC, without a zone inside the engine."""
    import ibis

    wall_clock = _read_wall_clock(column, how.shapes)
    local = wall_clock
    if how.first is not None and how.last is not None:
        local = convert_to_utc(wall_clock, shop.timezone, how.first, how.last)
    zoned = [shape.shape for shape in how.shapes if shape.has_zone]
    if zoned:
        local = ibis.ifelse(_shape(_as_text(column)).isin(zoned), wall_clock, local)
    return local.cast(TIMESTAMP)


def _find_shapes(table: "Table", own: str, mapping: TableSource) -> tuple[TimeShape, ...]:
    """Return the shapes of a column's texts, the most frequent first."""
    texts = table.select(shape=_shape(_as_text(table[own])))
    counted = texts.group_by("shape").aggregate(n=texts.count())
    rows = counted.filter(counted["shape"].notnull()).to_pyarrow().to_pylist()
    rows.sort(key=lambda row: (-row["n"], row["shape"]))
    counts = {row["shape"]: row["n"] for row in rows[:MAXIMUM_SHAPES]}
    shapes = [shape for shape in map(read_shape, counts) if shape is not None]
    ambiguous = [shape for shape in shapes if is_ambiguous(shape)]
    if not ambiguous:
        return tuple(shapes)
    order = _find_order(table, own, ambiguous, mapping)
    ordered = (read_shape(shape.shape, order) for shape in shapes)
    return tuple(shape for shape in ordered if shape is not None)


def _find_order(
    table: "Table", own: str, ambiguous: Sequence[TimeShape], mapping: TableSource
) -> str:
    """Return whether day or month comes first in a column.

    Args:
        table: The file.
        own: The file's name of the column.
        ambiguous: Shapes of two numbers and a year, read as if the day came first.
        mapping: The declared order.
    """
    import ibis

    if mapping.dates != "auto":
        return mapping.dates.replace("_", " ")
    text = _as_text(table[own])
    dates = table.select(text=text, shape=_shape(text))
    first, second = (
        ibis.cases(
            *[(dates["shape"] == one.shape, _integer(dates.text, one, part)) for one in ambiguous]
        )
        for part in ("day", "month")
    )
    row = dates.aggregate(
        day=(first > MONTHS_OF_A_YEAR).sum(),
        month=(second > MONTHS_OF_A_YEAR).sum(),
        example=dates.text.min(where=first.notnull()),
    ).to_pyarrow()
    n_day, n_month = row["day"][0].as_py(), row["month"][0].as_py()
    if n_day > MOSTLY * n_month:
        return "day first"
    if n_month > MOSTLY * n_day:
        return "month first"
    if not n_month and all(one.shape.lstrip("9").startswith(".") for one in ambiguous):
        return "day first"  # dots are written where the day comes first
    raise SourceError(
        f"dates that tell whether day or month comes first in the column '{own}'",
        received=f"'{row['example'][0].as_py()}'; {n_day:,} dates can only begin with a day and "
        f"{n_month:,} only with a month",
        action="Set `dates: day_first` or `dates: month_first` beside the file in "
        "collection.source.tables of params.yaml.",
    )


def _is_written(column: "Column") -> bool:
    """Return whether a column holds texts or numbers instead of times."""
    dtype = column.type()
    return bool(dtype.is_string() or dtype.is_numeric() or dtype.is_unknown())


def _has_typed_zone(column: "Column") -> bool:
    dtype = column.type()
    return bool(dtype.is_timestamp() and dtype.timezone is not None)


def _as_text(column: "Column") -> "StringValue":
    dtype = column.type()
    if dtype.is_floating():  # not in scientific notation
        text = column.try_cast("decimal(38, 6)").cast("string")
        return text.re_replace(r"\.0+$", "")
    return column.cast("string").strip()


def _shape(text: "StringValue") -> "StringValue":
    return text.translate("0123456789", "9" * 10)


def _part(text: "StringValue", shape: TimeShape, part: str) -> "StringValue":
    start, length = shape.spans[part]
    return text.substr(start, length)


def _integer(text: "StringValue", shape: TimeShape, part: str) -> "IntegerValue":
    return _part(text, shape, part).try_cast("int64")


def _read_wall_clock(column: "Column", shapes: Sequence[TimeShape]) -> "TimestampValue":
    """Return local times as they are written, and moments in UTC."""
    import ibis

    if not _is_written(column):
        return column.cast(TIMESTAMP)
    if not shapes:
        return ibis.null(TIMESTAMP)
    text = _as_text(column)
    shape = _shape(text)
    return ibis.cases(*[(shape == one.shape, _read_text(text, one)) for one in shapes])


def _read_text(text: "StringValue", shape: TimeShape) -> "TimestampValue":
    """Return the times of texts of one shape; null where a day or an hour does not exist."""
    import ibis

    fraction = _microseconds(text, shape)
    if "seconds" in shape.spans:
        seconds = _integer(text, shape, "seconds").as_timestamp("s").cast(TIMESTAMP)
        return seconds if fraction is None else seconds + fraction.as_interval("us")
    parts = [_padded(text, shape, part) for part in ("day", "hour", "minute", "second")]
    day, hour, minute, second = parts
    year = _part(text, shape, "year")
    if shape.spans["year"][1] == len("24"):
        year = ibis.literal("20") + year
    month = _padded(text, shape, "month") if shape.month is None else f"{shape.month:02d}"
    if shape.is_afternoon is not None:
        hours = _integer(text, shape, "hour") % 12 + 12 * shape.is_afternoon
        hour = hours.cast("string").lpad(2, "0")
    joined = year + "-" + month + "-" + day + " " + hour + ":" + minute + ":" + second
    time = joined.try_cast(TIMESTAMP)
    if fraction is not None:
        time += fraction.as_interval("us")
    if shape.sign:
        time -= (_offset_minutes(text, shape) * shape.sign).as_interval("m")
    return time


def _padded(text: "StringValue", shape: TimeShape, part: str) -> "StringValue":
    """Return a part with two digits; 00 if it is missing."""
    import ibis

    if part not in shape.spans:
        return ibis.literal("00")
    value = _part(text, shape, part)
    return ibis.literal("0") + value if shape.spans[part][1] == 1 else value


def _microseconds(text: "StringValue", shape: TimeShape) -> "IntegerValue | None":
    if "fraction" not in shape.spans:
        return None
    start, length = shape.spans["fraction"]
    return text.substr(start, min(length, 6)).rpad(6, "0").try_cast("int64")


def _offset_minutes(text: "StringValue", shape: TimeShape) -> "IntegerValue":
    hours = _integer(text, shape, "zone_hour") * 60
    return hours + _integer(text, shape, "zone_minute") if "zone_minute" in shape.spans else hours
