"""Shapes of texts of dates and times: where year, month, day, clock and offset stand.

A shape is a text with every digit replaced by 9. Texts of one shape have their parts at the same
positions, so an engine reads millions of them by a few patterns that are matched here, once.
"""

import re
from dataclasses import dataclass

Span = tuple[int, int]
"""First position of a part, from 0, and its length."""

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
_TIME = rf"(?:[T ,]+{_CLOCK}(?: *(?P<half>[ap])\.?m\.?)?)?"
_ZONE = r"(?P<zone> *(?:utc|gmt|z|(?P<sign>[+-])(?P<zone_hour>\d{2}):?(?P<zone_minute>\d{2})?))?"
_MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY = r"(?:[a-z]{3,9}, *)?"
_YEAR = r"(?P<year>\d{4}|\d{2})"
_COMPACT = r"(?:[T ]?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?)?"
_DATES = {
    "year first": rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}}){_TIME}",
    "compact": rf"(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}}){_COMPACT}",
    "day first": rf"(?P<day>\d{{1,2}})[-/. ](?P<month>\d{{1,2}})[-/. ]{_YEAR}{_TIME}",
    "month first": rf"(?P<month>\d{{1,2}})[-/. ](?P<day>\d{{1,2}})[-/. ]{_YEAR}{_TIME}",
    "day and month name": rf"{_WEEKDAY}(?P<day>\d{{1,2}})[-/. ]+{_MONTH}[-/., ]+{_YEAR}{_TIME}",
    "month name and day": rf"{_MONTH}[. ]+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? +"
    rf"(?P<year>\d{{4}}){_TIME}",
}
_EPOCHS = {
    "seconds since 1970": r"(?P<seconds>\d{9,10})(?:\.(?P<fraction>\d{1,9}))?",
    "milliseconds since 1970": r"(?P<seconds>\d{10})(?P<fraction>\d{3})(?:\.\d+)?",
    "microseconds since 1970": r"(?P<seconds>\d{10})(?P<fraction>\d{6})(?:\.\d+)?",
    "nanoseconds since 1970": r"(?P<seconds>\d{10})(?P<fraction>\d{9})(?:\.\d+)?",
}
_PATTERNS = {
    **{kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _EPOCHS.items()},
    **{
        kind: re.compile(f"{pattern}{_ZONE}", re.IGNORECASE | re.ASCII)
        for kind, pattern in _DATES.items()
    },
}


@dataclass(frozen=True)
class TimeShape:
    """The parts of all texts of one shape.

    Attributes:
        shape: The texts with their digits replaced by 9.
        kind: The kind in words, for people.
        spans: Position of `year`, `month`, `day`, `hour`, `minute`, `second` and `fraction`, of
            `zone_hour` and `zone_minute`, or of `seconds` since 1970; parts may be missing.
        month: The month, where a name gives it.
        is_afternoon: Whether the hour is of a twelve-hour clock: False before noon, True after it,
            None for 24 hours.
        sign: 1 or -1 for an offset from UTC, 0 without one.
        has_zone: Whether the text names a moment: an offset, UTC, or seconds since 1970.
    """

    shape: str
    kind: str
    spans: dict[str, Span]
    month: int | None = None
    is_afternoon: bool | None = None
    sign: int = 0
    has_zone: bool = False


def read_shape(shape: str, order: str = "day first") -> TimeShape | None:
    """Return the parts of a shape; None if it is no date.

    Args:
        shape: A text with digits replaced by 9.
        order: `day first` or `month first`, for dates such as 03/04/2024.

    >>> read_shape("99/99/9999").spans
    {'day': (0, 2), 'month': (3, 2), 'year': (6, 4)}
    """
    unwanted = "month first" if order == "day first" else "day first"
    for kind, pattern in _PATTERNS.items():
        match = pattern.fullmatch(shape) if kind != unwanted else None
        if match is not None:
            return _build(shape, kind, match)
    return None


def _build(shape: str, kind: str, match: re.Match[str]) -> TimeShape:
    parts = match.groupdict()
    texts = ("name", "half", "zone", "sign")
    spans = {
        name: (match.start(name), len(value))
        for name, value in parts.items()
        if value and name not in texts
    }
    name, half, sign = ((parts.get(key) or "").lower() for key in ("name", "half", "sign"))
    return TimeShape(
        shape=shape,
        kind=kind,
        spans=spans,
        month=_NAMES.index(name) + 1 if name else None,
        is_afternoon=half == "p" if half else None,
        sign={"+": 1, "-": -1}.get(sign, 0),
        has_zone=bool(parts.get("zone")) or "seconds" in spans,
    )


def is_ambiguous(shape: TimeShape) -> bool:
    """Return whether only other dates tell the order of day and month."""
    return shape.kind in {"day first", "month first"}
