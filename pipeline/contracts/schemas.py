"""The columns of every table: names, types, units and nullability.

Ids are strings here and indices (0 = out of vocabulary) inside a model; `is_id` checks them in
tables and in requests. Timestamps are UTC with microseconds; calendar days follow `shop.timezone`.
"""

import re
from dataclasses import dataclass

import pyarrow as pa

from pipeline.contracts.errors import SchemaError

TIMESTAMP = pa.timestamp("us", tz="UTC")
EVENT_TYPES = ("view", "cart", "purchase", "return")
OFFER_KINDS = ("mailer", "display", "coupon", "price cut")
SPLITS = ("train", "validation", "test", "production")
PROTOCOLS = ("rolling", "first_basket")

PERSONAL = ("user_id", "example_id")
"""Columns that identify a person; reports, pages and messages never show their values."""

ID_LENGTH = 128
"""Maximum length of an id in characters, as in the event store."""

# Literal characters, because engines of regular expressions escape these differently.
_CONTROL = "\\x00-\\x1f\\x7f-\\x9f\u2028\u2029"
_SPACE = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\ufeff"
_EDGE = f"[^{_CONTROL}{_SPACE}]"
ID_PATTERN = f"^{_EDGE}([^{_CONTROL}]{{0,{ID_LENGTH - 2}}}{_EDGE})?$"
"""Pattern of a valid id, for external schemas (JSON Schema, Rust, RE2)."""
NOT_AN_ID = f"^$|[{_CONTROL}]|^[{_SPACE}]|[{_SPACE}]$|^.{{{ID_LENGTH + 1}}}"
"""Pattern that matches in every invalid id; `$` in Python would overlook a final line break."""
ID_RULE = (
    f"be 1 to {ID_LENGTH} characters without control characters, and without a space at either end"
)
_not_an_id = re.compile(NOT_AN_ID)


def is_id(text: str) -> bool:
    r"""Return whether a text is a valid id of a user, an item, a basket, a session or a store.

    Ids are compared as they are, without case folding, Unicode normalisation or number parsing.

    >>> [is_id(text) for text in ("0042", "crème brûlée", "", "tea ", "a\tb", "wait\u0085")]
    [True, True, False, False, False, False]
    """
    return _not_an_id.search(text) is None


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type and its constraints.

    `optional` columns may be absent from a table; `nullable` columns may hold nulls. `minimum` and
    `maximum` are inclusive. `values` lists the allowed values. `is_id` requires valid ids.
    """

    name: str
    dtype: pa.DataType
    description: str
    nullable: bool = False
    optional: bool = False
    unique: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None
    is_id: bool = False


def _id(name: str, description: str, *, unique: bool = False, optional: bool = False) -> Column:
    """Return an id column; an optional column may hold nulls."""
    return Column(
        name,
        pa.string(),
        description,
        nullable=optional,
        optional=optional,
        unique=unique,
        is_id=True,
    )


@dataclass(frozen=True)
class Table:
    """A table: its columns, and the key columns that identify a row."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    extra_columns: bool = False

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(column for column in self.columns if column.name == name)

    def names(self) -> list[str]:
        """Return the column names in order."""
        return [column.name for column in self.columns]


EVENTS = Table(
    "events",
    (
        _id("user_id", "who"),
        _id("item_id", "what"),
        Column("timestamp", TIMESTAMP, "when, UTC"),
        Column("event_type", pa.string(), "what happened", values=EVENT_TYPES),
        Column("quantity", pa.float64(), "units bought", minimum=0),
        Column("price", pa.float64(), "unit price paid, in the shop's currency", minimum=0),
        Column("discount", pa.float64(), "taken off the shelf price, per line", minimum=0),
        _id("basket_id", "purchases paid together; see pipeline/contracts/baskets.py"),
        _id("session_id", "one visit to the site", optional=True),
        _id("store_id", "where", optional=True),
        Column("source", pa.string(), "which source delivered the row"),
    ),
)
ITEMS = Table(
    "items",
    (
        _id("item_id", "what", unique=True),
        Column("title", pa.string(), "name shown to people", nullable=True, optional=True),
        Column("department", pa.string(), "coarsest class", nullable=True),
        Column("category", pa.string(), "middle class", nullable=True),
        Column("type", pa.string(), "finest class", nullable=True),
        Column("brand", pa.string(), "brand", nullable=True),
        Column("first_seen", TIMESTAMP, "first event; null if it never sold", nullable=True),
    ),
    key=("item_id",),
)
USERS = Table(
    "users",
    (_id("user_id", "who", unique=True),),
    key=("user_id",),
    extra_columns=True,
)
OFFERS = Table(
    "offers",
    (
        _id("item_id", "what is on offer"),
        Column("starts", TIMESTAMP, "first moment of the offer"),
        Column("ends", TIMESTAMP, "first moment after the offer"),
        Column("kind", pa.string(), "how it is promoted", values=OFFER_KINDS),
        Column("store_fraction", pa.float64(), "share of stores", minimum=0, maximum=1),
        _id("store_id", "one store, null = chain; collection counts stores", optional=True),
        Column("audience", pa.string(), "campaign, null = all", nullable=True, optional=True),
        Column(
            "audience_fraction",
            pa.float64(),
            "share of shoppers that the audience is, null = not known",
            nullable=True,
            optional=True,
            minimum=0,
            maximum=1,
        ),
    ),
)
EXAMPLES = Table(
    "examples",
    (
        Column("example_id", pa.string(), "which", unique=True),
        Column("split", pa.string(), "which part of time it belongs to", values=SPLITS),
        Column("protocol", pa.string(), "how the request is made", values=PROTOCOLS),
        Column("cutoff", TIMESTAMP, "start of its window; item state is known up to here"),
        Column("user_id", pa.string(), "who asks"),
        Column("timestamp", TIMESTAMP, "moment of the request; history lies strictly before it"),
        Column("basket_id", pa.string(), "the basket that is predicted"),
        Column("store_id", pa.string(), "where", nullable=True, optional=True),
        Column("n_earlier_baskets", pa.int32(), "baskets before the request", minimum=0),
        Column("cart", pa.list_(pa.string()), "items already in the cart at the request"),
        Column("labels", pa.list_(pa.string()), "items that were then bought, without the cart"),
        Column("relevance", pa.list_(pa.float64()), "weight of each label"),
        Column("negatives", pa.list_(pa.string()), "items on offer that were not bought"),
    ),
    key=("example_id",),
)


def check_table(table: pa.Table, schema: Table) -> pa.Table:
    """Return `table` with exactly the columns and types of `schema`, in its order.

    Absent optional columns are added as nulls. Types are cast only where nothing is lost.

    Raises:
        SchemaError: If a column is missing, unknown, of another type, or unexpectedly null.
    """
    known = set(schema.names())
    missing = [
        c.name for c in schema.columns if c.name not in table.column_names and not c.optional
    ]
    unknown = [name for name in table.column_names if name not in known]
    if missing or (unknown and not schema.extra_columns):
        raise SchemaError(
            f"the columns {schema.names()} in the table '{schema.name}'",
            received=f"{table.column_names} (missing: {missing}, unknown: {unknown})",
            action="Correct the mapping in collection.source, or the code that wrote the table.",
        )
    arrays = [_cast(table, column, schema.name) for column in schema.columns]
    extras = unknown if schema.extra_columns else []
    return pa.table(
        [*arrays, *[table[name] for name in extras]],
        names=[*schema.names(), *extras],
    )


def _cast(table: pa.Table, column: Column, name: str) -> pa.ChunkedArray:
    if column.name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, column.dtype)])
    values = table[column.name]
    try:
        values = values.cast(column.dtype)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(
            f"{column.dtype} in the column '{column.name}' of '{name}'",
            received=f"{values.type} ({error})",
            action="Convert the column in the source or in its mapping.",
        ) from error
    if values.null_count and not column.nullable:
        raise SchemaError(
            f"no nulls in the column '{column.name}' of '{name}'",
            received=f"{values.null_count} nulls in {len(values)} rows",
            action="Clean the source, or let collection quarantine these rows.",
        )
    return values
