"""Raw tables held against what they are known to look like, before anything is made of them."""

from typing import TYPE_CHECKING

from pipeline.collection.manifest import Checked
from pipeline.collection.quality import check_failures, expected_of_raw
from pipeline.contracts.schemas import Table as Schema
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source
from pipeline.validation import Validator

if TYPE_CHECKING:
    from ibis import Table

SAMPLE_ROWS = 1_500_000
"""A raw table that is longer is checked on a sample of at most this many rows."""


def check_raw(
    source: Source,
    earlier: dict[str, Checked],
    validator: Validator,
    maximum_failure_fraction: float,
) -> dict[str, Checked]:
    """Return what the check of every raw table found; an unchanged table is not read again.

    Raises:
        DataQualityError: A table as a whole, or too many of its rows, break an expectation.
    """
    found: dict[str, Checked] = {}
    for name in source.raw:
        old = earlier.get(name)
        if old is not None and old.fingerprint == source.fingerprints[name]:
            found[name] = old
        else:
            found[name] = _check(source, name, validator, maximum_failure_fraction)
    return found


def _check(
    source: Source, name: str, validator: Validator, maximum_failure_fraction: float
) -> Checked:
    table, one_in = sample(source.raw[name])
    title = f"raw {name}" if one_in == 1 else f"raw {name} (1 row in {one_in})"
    extra = []
    if source.name == "completejourney":
        table = _with_listing(table, name, source)
        extra = expected_of_raw(name)
    frame = fetch(table).to_pandas()
    if not _has_zone(source.raw_schemas[name]):
        zoned = frame.select_dtypes("datetimetz").columns
        frame[zoned] = frame[zoned].apply(lambda column: column.dt.tz_localize(None))
    validation = validator.validate(frame, source.raw_schemas[name], name=title, extra=extra)
    check_failures(validation, frame, maximum_failure_fraction, where=f"the raw table '{name}'")
    return Checked(
        fingerprint=source.fingerprints[name],
        n_rows=len(frame) if one_in == 1 else int(source.raw[name].count().to_pyarrow().as_py()),
        n_failing=len(validation.failing_rows),
        document=validator.document(title),
    )


def sample(table: "Table", limit: int = SAMPLE_ROWS) -> tuple["Table", int]:
    """Return the table, or one row in `n` of it where it is longer than `limit`, and `n`."""
    n_rows = int(table.count().to_pyarrow().as_py())
    one_in = -(-n_rows // limit)
    if one_in <= 1:
        return table, 1
    first, second = table.columns[:2]
    return table.filter((table[first] + 31 * table[second]) % one_in == 0), one_in


def _with_listing(table: "Table", name: str, source: Source) -> "Table":
    """Add to transactions whether `products` lists the product."""
    if name != "transactions":
        return table
    listed = source.raw["products"].select("product_id").distinct()
    joined = table.left_join(listed, "product_id")
    return joined.mutate(product_is_listed=joined.product_id_right.notnull()).drop(
        "product_id_right"
    )


def _has_zone(schema: Schema) -> bool:
    return any(getattr(column.dtype, "tz", None) is not None for column in schema.columns)
