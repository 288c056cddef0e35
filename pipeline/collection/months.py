"""A table month by month: what is new is read and validated, failing rows are set aside."""

import logging
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.collection.manifest import Checked, Partition, is_intact
from pipeline.collection.partitions import digest
from pipeline.collection.quality import check_failures, reasons_by_row
from pipeline.contracts import schemas
from pipeline.contracts.artefacts import sha256, write_table
from pipeline.runtime.sql_engine import fetch
from pipeline.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from great_expectations.expectations import Expectation
    from ibis import Table

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class Feed:
    """A table that is written month by month.

    Attributes:
        schema: What its clean rows look like.
        rows: All rows, with the columns `partition` and `rule` (why a row is dropped, or null).
        hashes: Per partition the digest of its rows.
        dropped: Per partition and rule the number of dropped rows.
        extra: Expectations beyond the schema.
        settings: All else that shapes the clean rows.
    """

    schema: schemas.Table
    rows: "Table"
    hashes: dict[str, str]
    dropped: dict[str, dict[str, int]]
    extra: "Sequence[Expectation]"
    settings: str


@dataclass(frozen=True)
class Places:
    """Where a feed's last good files lie, and where new ones are written."""

    old_clean: Path
    old_quarantine: Path
    clean: Path
    quarantine: Path


def collect_months(
    feed: Feed,
    earlier: dict[str, Partition],
    places: Places,
    validator: Validator,
    maximum_failure_fraction: float,
) -> tuple[dict[str, Partition], int]:
    """Write every month of `feed`; a month whose rows have not changed is taken over unread.

    Returns:
        The months' records, and how many of them were taken over.

    Raises:
        DataQualityError: Too many rows of a month fail.
    """
    found: dict[str, Partition] = {}
    n_reused = 0
    for month in sorted(feed.hashes):
        name = f"{month}.parquet"
        fingerprint = digest([feed.hashes[month], feed.settings])
        old = earlier.get(month)
        if (
            old is not None
            and old.checked.fingerprint == fingerprint
            and is_intact(old, places.old_clean / name, places.old_quarantine / name)
        ):
            take_over(places, name)
            found[month] = old
            n_reused += 1
            continue
        found[month] = _collect_month(
            feed, month, fingerprint, places, validator, maximum_failure_fraction
        )
    log.info("%s: %d months, %d of them reused", feed.schema.name, len(found), n_reused)
    return found, n_reused


def take_over(places: Places, name: str) -> None:
    """Copy the files of one month from where the last good ones lie."""
    for old, new in (
        (places.old_clean, places.clean),
        (places.old_quarantine, places.quarantine),
    ):
        if (old / name).exists():
            new.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old / name, new / name)


def _collect_month(
    feed: Feed,
    month: str,
    fingerprint: str,
    places: Places,
    validator: Validator,
    maximum_failure_fraction: float,
) -> Partition:
    schema, name = feed.schema, f"{feed.schema.name} {month}"
    rows = feed.rows.filter(feed.rows.partition == month, feed.rows.rule.isnull())
    table = ordered(fetch(rows.select(*schema.names())), schema)
    frame = table.to_pandas()
    validation = validator.validate(frame, schema, name=name, extra=feed.extra)
    check_failures(validation, frame, maximum_failure_fraction, where=f"the partition '{name}'")
    reasons = reasons_by_row(validation)
    good, bad = split(table, reasons)
    clean = places.clean / f"{month}.parquet"
    write_table(good, clean, schema)
    quarantine = places.quarantine / f"{month}.parquet"
    if len(bad):
        quarantine.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(bad, quarantine, compression="zstd")
    dropped = feed.dropped.get(month, {})
    return Partition(
        checked=Checked(
            fingerprint=fingerprint,
            n_rows=len(table),
            n_failing=len(bad),
            document=validator.document(name),
        ),
        sha256=sha256(clean),
        quarantine_sha256=sha256(quarantine) if len(bad) else None,
        n_in=len(table) + sum(dropped.values()),
        dropped=dropped,
        reasons=dict(sorted(Counter(reasons.values()).items())),
        n_quarantined=len(bad),
        n_rows=len(good),
        **_activity(good),
    )


def ordered(table: pa.Table, schema: schemas.Table) -> pa.Table:
    """Return the rows in an order that depends on nothing but the rows: time first."""
    times = [column.name for column in schema.columns if pa.types.is_timestamp(column.dtype)]
    others = [name for name in schema.names() if name not in times]
    return table.sort_by([(name, "ascending") for name in (*times, *others)])


def split(table: pa.Table, reasons: dict[int, str]) -> tuple[pa.Table, pa.Table]:
    """Return the rows without a reason, and those with one in the additional column `reasons`."""
    bad = table.take(pa.array(list(reasons), pa.int64()))
    bad = bad.append_column("reasons", pa.array(list(reasons.values()), pa.string()))
    mask = [True] * len(table)
    for row in reasons:
        mask[row] = False
    return table.filter(pa.array(mask, pa.bool_())), bad


def _activity(table: pa.Table) -> dict[str, int]:
    """Return how many users and baskets there are, for a table that knows them."""
    import pyarrow.compute as pc

    if "basket_id" not in table.column_names:
        return {}
    n_users = int(pc.count_distinct(table["user_id"]).as_py())
    return {"n_users": n_users, "n_baskets": count_baskets(table)}


def count_baskets(events: pa.Table) -> int:
    """Return how many baskets there are: one name may stand for baskets of several users."""
    return len(events.group_by(["user_id", "basket_id"]).aggregate([]))
