"""Partitions by months of the shop's calendar, and the digests of their rows."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pipeline.contracts.artefacts import digest
from pipeline.contracts.params import ShopParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibis import Table

CODE_VERSION = 2
"""Increase it when the code that cleans rows changes: all partitions are then rebuilt."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Older timestamps lie in this month, so that a wrong year does not add thousands of partitions."""

UNDATED = "undated"
"""The partition of rows without a valid time, which expectations reject."""

PRIMES = (2_147_483_647, 998_244_353)


def months_between(first: datetime, last: datetime, shop: ShopParams) -> dict[str, datetime]:
    """Return the first moment, in UTC, of each local month from `first` to `last`.

    >>> from pipeline.contracts.params import read_params
    >>> shop = read_params().shop
    >>> months = months_between(datetime(2017, 1, 5, tzinfo=UTC), shop.midnight(shop.as_of), shop)
    >>> list(months)[-1], months["2017-02"].isoformat()
    ('2017-12', '2017-02-01T05:00:00+00:00')
    """
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(shop.timezone)
    start, end = first.astimezone(zone), last.astimezone(zone)
    n_months = (end.year - start.year) * 12 + end.month - start.month + 1
    numbers = [start.year * 12 + start.month - 1 + n for n in range(n_months)]
    days = [date(number // 12, number % 12 + 1, 1) for number in numbers]
    return {f"{day:%Y-%m}": shop.midnight(day) for day in days}


def add_partition(
    table: "Table", column: str, ends: datetime, shop: ShopParams, begins: datetime | None = None
) -> "Table":
    """Return `table` with a `partition` column: the local month of `column`.

    Rows without a time, or with a time before `begins` or from `ends` on, lie in the partition
    `UNDATED`, where expectations reject them.
    """
    import ibis

    time = table[column]
    is_dated = time < ibis.literal(_naive(ends), "timestamp(6)")
    if begins is not None:
        is_dated &= time >= ibis.literal(_naive(begins), "timestamp(6)")
    covered = table.filter(is_dated)
    bounds = covered.aggregate(first=covered[column].min(), last=covered[column].max()).to_pyarrow()
    first, last = bounds["first"][0].as_py(), bounds["last"][0].as_py()
    if first is None:
        return table.mutate(partition=ibis.literal(UNDATED))
    first, last = (max(moment.replace(tzinfo=UTC), EARLIEST) for moment in (first, last))
    months = months_between(first, last, shop)
    names = list(months)
    starts = [ibis.literal(_naive(start), "timestamp(6)") for start in months.values()]
    branches = [(time < start, name) for start, name in zip(starts[1:], names[:-1], strict=True)]
    label = ibis.cases(*branches, else_=names[-1]) if branches else ibis.literal(names[-1])
    return table.mutate(partition=ibis.ifelse(is_dated, label, UNDATED))


def hash_contents(table: "Table") -> dict[str, str]:
    """Return an order-independent digest of the rows of each partition, computed in the engine."""
    import ibis

    values = [name for name in table.columns if name != "partition"]
    texts = [ibis.coalesce(table[name].cast("string"), "\x00") for name in values]
    row = ibis.literal("\x1f").join(texts).hash()
    sums = {f"sum_{n}": (row % prime).sum() for n, prime in enumerate(PRIMES)}
    counted = table.group_by("partition").aggregate(n_rows=table.count(), **sums)
    rows: Sequence[dict[str, Any]] = counted.to_pyarrow().to_pylist()
    return {
        str(row["partition"]): digest([int(row[name]) for name in ("n_rows", *sums)])
        for row in rows
    }


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
