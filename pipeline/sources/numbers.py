"""Number columns of text: which sign separates decimals, and the values.

Design choices:

- A column that the engine reads as it is stays as it is.
- Otherwise one decision for a column, from the numbers that show it: `1.234,50` and `2,5` have a
  decimal comma, `1,234.50` and `2.5` a point. A column of nothing but `1,234` is an error, because
  it could be a thousand or one.
- Signs and codes of currencies, spaces and apostrophes are no part of a number. Other texts become
  null, and collection shows them in the quarantine.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import TableSource

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import Column, FloatingValue, StringValue

MAXIMUM_SHAPES = 500
MOSTLY = 99
"""So many times more numbers must show one decimal sign than the other."""
N_EXAMPLES = 3
_CURRENCY = r"(?:[$€£¥₹₩₫₺₽₪฿₴₦₱]|[A-Z]{3}|R\$|kr\.?|Rp\.?|zł|Fr\.?)"
_NUMBER = re.compile(
    rf"(?P<open>\()?(?:(?P<sign>[+-])? *{_CURRENCY}? *|{_CURRENCY} *(?P<minus>-) *)"
    rf"(?P<digits>9[9., '\u00a0\u202f\u2019]*|[.,]9+) *{_CURRENCY}?(?P<end>[-)])?"
)
_SPACES = re.compile("[ '\u00a0\u202f\u2019]")
_GROUPS = re.compile(r"9{1,3}(?P<separator>[.,])999(?:(?P=separator)999)*")


@dataclass(frozen=True)
class NumberFormat:
    """How a number column is read.

    Attributes:
        decimal: The decimal sign of texts; empty for columns that the engine reads as they are.
        shapes: The shapes of its texts, and whether a text of the shape is negative.
    """

    decimal: str = ""
    shapes: tuple[tuple[str, bool], ...] = ()

    def describe(self) -> str:
        """Return the decimal sign in words; empty for a column that is read as it is."""
        return {"": "", ".": "decimal point", ",": "decimal comma"}[self.decimal]


@dataclass(frozen=True)
class _Vote:
    """The decimal sign that a shape shows; `is_open` if its only separator may be either."""

    decimal: str = ""
    is_open: bool = False


def find_number_format(table: "Table", own: str, mapping: TableSource) -> NumberFormat:
    """Return how the number column `own` of a file is written.

    Raises:
        SourceError: If nothing tells the decimal sign.
    """
    if not table[own].type().is_string():
        return NumberFormat()
    text = table[own].strip()
    row = table.aggregate(raw=text.nullif("").count(), read=text.try_cast("float64").count())
    counts = row.to_pyarrow()
    if counts["raw"][0].as_py() == counts["read"][0].as_py() and mapping.decimal != "comma":
        return NumberFormat()
    shaped = table.select(text=text, shape=_shape(text))
    counted = shaped.group_by("shape").aggregate(n=shaped.count(), example=shaped.text.min())
    rows = counted.filter(counted["shape"].notnull()).to_pyarrow().to_pylist()
    rows = sorted(rows, key=lambda row: (-row["n"], row["shape"]))[:MAXIMUM_SHAPES]
    matches = {row["shape"]: _NUMBER.fullmatch(row["shape"]) for row in rows}
    shapes = {
        shape: match
        for shape, match in matches.items()
        if match is not None and (match["open"] is None) == (match["end"] != ")")
    }
    if not shapes:
        return NumberFormat()
    votes = {shape: _read_vote(match["digits"]) for shape, match in shapes.items()}
    examples = {row["shape"]: (row["n"], row["example"]) for row in rows if row["shape"] in shapes}
    decimal = _choose(votes, examples, own, mapping)
    agreeing = {shape: m for shape, m in shapes.items() if votes[shape].decimal in {"", decimal}}
    return NumberFormat(
        decimal, tuple((shape, _is_negative(match)) for shape, match in agreeing.items())
    )


def read_numbers(column: "Column", how: NumberFormat) -> "FloatingValue":
    """Return the column as numbers; null where a text is none."""
    import ibis

    if not how.decimal:
        return column.try_cast("float64")
    text = column.strip()
    digits = text.re_replace(r"(kr|Rp|Fr)\.", "").re_replace(r"[^0-9.,]|[.,]$", "")
    grouping = "," if how.decimal == "." else "."
    number = digits.replace(grouping, "").replace(how.decimal, ".").try_cast("float64")
    shape = _shape(text)
    positive = [name for name, is_negative in how.shapes if not is_negative]
    negative = [name for name, is_negative in how.shapes if is_negative]
    return ibis.cases((shape.isin(positive), number), (shape.isin(negative), -number))


def _shape(text: "StringValue") -> "StringValue":
    return text.translate("0123456789", "9" * 10)


def _is_negative(match: re.Match[str]) -> bool:
    return (
        match["sign"] == "-" or bool(match["minus"]) or bool(match["open"]) or match["end"] == "-"
    )


def _read_vote(digits: str) -> _Vote:
    """Return the decimal sign that the digits and separators of a shape show."""
    bare = _SPACES.sub("", digits).rstrip(".,")
    signs = [sign for sign in bare if sign in ".,"]
    if not signs:
        return _Vote()
    if len(set(signs)) > 1:
        return _Vote(signs[-1])
    other = "." if signs[0] == "," else ","
    if _GROUPS.fullmatch(bare):
        return _Vote(is_open=True) if len(signs) == 1 else _Vote(other)
    return _Vote(signs[0])


def _choose(
    votes: dict[str, _Vote],
    examples: dict[str, tuple[int, str]],
    own: str,
    mapping: TableSource,
) -> str:
    """Return the decimal sign of a column."""
    if mapping.decimal != "auto":
        return {"point": ".", "comma": ","}[mapping.decimal]
    count = dict.fromkeys(".,", 0)
    for shape, vote in votes.items():
        if vote.decimal:
            count[vote.decimal] += examples[shape][0]
    for sign, other in (".,", ",."):
        if count[sign] > MOSTLY * count[other]:
            return sign
    unclear = [shape for shape, vote in votes.items() if vote.decimal or vote.is_open]
    if not unclear:
        return "."
    raise SourceError(
        f"numbers that tell their decimal sign in the column '{own}'",
        received=", ".join(f"'{examples[shape][1]}'" for shape in unclear[:N_EXAMPLES]),
        action="Set `decimal: point` or `decimal: comma` beside the file in "
        "collection.source.tables of params.yaml.",
    )
