"""Validation of raw tables before any processing."""

from typing import TYPE_CHECKING

from pipeline.collection.manifest import Checked
from pipeline.collection.quality import build_raw_expectations, check_failures
from pipeline.contracts.schemas import Table as Schema
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source
from pipeline.validation import Validator

if TYPE_CHECKING:
    from ibis import Table

SAMPLE_ROWS = 1_500_000
"""Longer raw tables are checked on a sample of at most this many rows."""


def check_raw(
    source: Source,
    earlier: dict[str, Checked],
    validator: Validator,
    maximum_failure_fraction: float,
) -> dict[str, Checked]:
    """Return the check of every raw table; unchanged tables are not read again.

    Raises:
        DataQualityError: If a table as a whole, or too many of its rows, break an expectation.
    """
    checks: dict[str, Checked] = {}
    for name in source.raw:
        old = earlier.get(name)
        if old is not None and old.fingerprint == source.fingerprints[name]:
            checks[name] = old
        else:
            checks[name] = _check(source, name, validator, maximum_failure_fraction)
    return checks


def _check(
    source: Source, name: str, validator: Validator, maximum_failure_fraction: float
) -> Checked:
    table, one_in = sample(source.raw[name])
    title = f"raw {name}" if one_in == 1 else f"raw {name} (1 row in {one_in})"
    extra = []
    if source.name == "completejourney":
        table = _with_listing(table, name, source)
        extra = build_raw_expectations(name)
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
    """Return one row in `n` of a table longer than `limit`, or all of it, and `n`."""
    import ibis

    n_rows = int(table.count().to_pyarrow().as_py())
    one_in = -(-n_rows // limit)
    if one_in <= 1:
        return table, 1
    first, second = (table[name] for name in table.columns[:2])
    if first.type().is_integer() and second.type().is_integer():
        return table.filter((first + 31 * second) % one_in == 0), one_in
    texts = (ibis.coalesce(column.cast("string"), "") for column in (first, second))
    return table.filter(ibis.literal("\x1f").join([*texts]).hash() % one_in == 0), one_in


def _with_listing(table: "Table", name: str, source: Source) -> "Table":
    """Add the column `product_is_listed` to transactions."""
    if name != "transactions":
        return table
    listed = source.raw["products"].select("product_id").distinct()
    joined = table.left_join(listed, "product_id")
    return joined.mutate(product_is_listed=joined.product_id_right.notnull()).drop(
        "product_id_right"
    )


def _has_zone(schema: Schema) -> bool:
    return any(getattr(column.dtype, "tz", None) is not None for column in schema.columns)
