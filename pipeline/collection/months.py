"""Monthly tables: new months are read and validated, and failing rows are quarantined."""

import logging
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.collection.declared import HELD_OUT
from pipeline.collection.manifest import Checked, Partition, is_intact
from pipeline.collection.partitions import UNDATED
from pipeline.collection.quality import check_failures, reasons_by_row
from pipeline.contracts import schemas
from pipeline.contracts.artefacts import digest, sha256, write_table
from pipeline.runtime.sql_engine import fetch
from pipeline.sources.columns import UNREAD
from pipeline.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from great_expectations.expectations import Expectation
    from ibis import Table

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class MonthlyTable:
    """A table that is written month by month.

    Attributes:
        schema: Schema of the clean rows.
        rows: All rows, with the columns `partition` and `rule` (the rule that drops it, or null).
        hashes: Digest of the rows, per partition.
        n_rows: Number of rows that no rule drops, over all partitions.
        dropped: Number of dropped rows, per partition and rule.
        extra: Expectations beyond the schema.
        settings: Digest of everything else that shapes the clean rows.
    """

    schema: schemas.Table
    rows: "Table"
    hashes: dict[str, str]
    n_rows: int
    dropped: dict[str, dict[str, int]]
    extra: "Sequence[Expectation]"
    settings: str


@dataclass(frozen=True)
class MonthFolders:
    """The folders of a table's last good files and of its new files."""

    old_clean: Path
    old_quarantine: Path
    clean: Path
    quarantine: Path


def collect_months(
    monthly: MonthlyTable,
    earlier: dict[str, Partition],
    folders: MonthFolders,
    validator: Validator,
    maximum_failure_fraction: float,
) -> tuple[dict[str, Partition], int]:
    """Write every month of a table; unchanged months are copied without reading.

    Returns:
        The record of each month, and the number of reused months.

    Raises:
        DataQualityError: If too many rows of a month fail.
    """
    partitions: dict[str, Partition] = {}
    n_reused = 0
    for month in sorted(monthly.hashes):
        name = f"{month}.parquet"
        fingerprint = digest([monthly.hashes[month], monthly.settings])
        old = earlier.get(month)
        if (
            old is not None
            and old.checked.fingerprint == fingerprint
            and is_intact(old, folders.old_clean / name, folders.old_quarantine / name)
        ):
            copy_month(folders, name)
            partitions[month] = old
            n_reused += 1
            continue
        partitions[month] = _collect_month(
            monthly, month, fingerprint, folders, validator, maximum_failure_fraction
        )
    log.info("%s: %d months, %d of them reused", monthly.schema.name, len(partitions), n_reused)
    return partitions, n_reused


def copy_month(folders: MonthFolders, name: str) -> None:
    """Copy the last good files of one month."""
    for old, new in (
        (folders.old_clean, folders.clean),
        (folders.old_quarantine, folders.quarantine),
    ):
        if (old / name).exists():
            new.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old / name, new / name)


def _collect_month(
    monthly: MonthlyTable,
    month: str,
    fingerprint: str,
    folders: MonthFolders,
    validator: Validator,
    maximum_failure_fraction: float,
) -> Partition:
    schema, name = monthly.schema, f"{monthly.schema.name} {month}"
    rows = monthly.rows.filter(monthly.rows.partition == month)
    unread = [UNREAD] if UNREAD in rows.columns else []
    names = [*schema.names(), *unread]
    table = sort_rows(fetch(rows.filter(rows.rule.isnull()).select(*names)), schema)
    frame = table.to_pandas()
    validation = validator.validate(
        frame.drop(columns=unread), schema, name=name, extra=monthly.extra
    )
    check_failures(
        validation,
        frame,
        maximum_failure_fraction,
        where=f"the partition '{name}'" if month != UNDATED else f"all {schema.name}",
        n_rows=monthly.n_rows if month == UNDATED else None,
    )
    reasons = reasons_by_row(validation)
    good, bad = split(table, reasons)
    good = good.select(schema.names())
    dropped, held_out = _divide_rules(monthly.dropped.get(month, {}))
    if held_out:
        bad = pa.concat_tables([bad, _read_held_out(rows, names, schema)])
    clean = folders.clean / f"{month}.parquet"
    write_table(good, clean, schema)
    quarantine = folders.quarantine / f"{month}.parquet"
    if len(bad):
        quarantine.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(bad, quarantine, compression="zstd")
    return Partition(
        checked=Checked(
            fingerprint=fingerprint,
            n_rows=len(table),
            n_failing=len(reasons),
            document=validator.document(name),
        ),
        sha256=sha256(clean),
        quarantine_sha256=sha256(quarantine) if len(bad) else None,
        n_in=len(table) + sum(dropped.values()) + sum(held_out.values()),
        dropped=dropped,
        reasons=dict(sorted((Counter(reasons.values()) + Counter(held_out)).items())),
        n_quarantined=len(bad),
        n_rows=len(good),
        **_activity(good),
    )


def _divide_rules(counts: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the counts of the rules that drop rows, and of those that hold rows out."""
    held_out = {rule: n for rule, n in counts.items() if rule.startswith(HELD_OUT)}
    return {rule: n for rule, n in counts.items() if rule not in held_out}, held_out


def _read_held_out(rows: "Table", names: list[str], schema: schemas.Table) -> pa.Table:
    """Return the rows of a month that are held out, with the column `reasons`."""
    held = rows.filter(rows.rule.startswith(HELD_OUT).fill_null(False))  # noqa: FBT003
    return sort_rows(fetch(held.select(*names, reasons=held.rule)), schema)


def sort_rows(table: pa.Table, schema: schemas.Table) -> pa.Table:
    """Return the rows sorted by their timestamps, then by all other columns."""
    times = [column.name for column in schema.columns if pa.types.is_timestamp(column.dtype)]
    others = [name for name in schema.names() if name not in times]
    return table.sort_by([(name, "ascending") for name in (*times, *others)])


def split(table: pa.Table, reasons: dict[int, str]) -> tuple[pa.Table, pa.Table]:
    """Return the good rows, and the bad rows with the additional column `reasons`."""
    bad = table.take(pa.array(list(reasons), pa.int64()))
    bad = bad.append_column("reasons", pa.array(list(reasons.values()), pa.string()))
    mask = [True] * len(table)
    for row in reasons:
        mask[row] = False
    return table.filter(pa.array(mask, pa.bool_())), bad


def _activity(table: pa.Table) -> dict[str, int]:
    """Return the numbers of users and baskets, if the table has baskets."""
    import pyarrow.compute as pc

    if "basket_id" not in table.column_names:
        return {}
    n_users = int(pc.count_distinct(table["user_id"]).as_py())
    return {"n_users": n_users, "n_baskets": count_baskets(table)}


def count_baskets(events: pa.Table) -> int:
    """Return the number of baskets; users may share basket names."""
    return len(events.group_by(["user_id", "basket_id"]).aggregate([]))
