"""One run of collection: checks raw tables, collects months, and derives items and users."""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.collection.declared import (
    add_held_out,
    count_corrections,
    count_held_out,
)
from pipeline.collection.forgotten import ForgottenCounts, drop_forgotten
from pipeline.collection.inputs import digest_inputs, digest_settings
from pipeline.collection.manifest import (
    Checked,
    Manifest,
    Totals,
    is_intact,
    read_manifest,
)
from pipeline.collection.months import MonthFolders, MonthlyTable, collect_months, split
from pipeline.collection.partitions import add_partition, hash_contents
from pipeline.collection.quality import (
    build_event_expectations,
    build_offer_expectations,
    check_failures,
    reasons_by_row,
)
from pipeline.collection.raw_checks import check_raw
from pipeline.collection.rules import tag_events, tag_offers
from pipeline.collection.stores import add_store_shares
from pipeline.collection.tables import complete_items, complete_users, select_redescribed
from pipeline.collection.totals import compute_totals, count_after_departments, count_unknown_reach
from pipeline.contracts import artefacts, schemas
from pipeline.contracts.artefacts import digest, sha256
from pipeline.contracts.atomic import restore, whole_folder
from pipeline.contracts.baskets import add_baskets
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import CollectionParams, ShopParams
from pipeline.event_store.suppression import SuppressionList
from pipeline.runtime.sql_engine import fetch, materialise
from pipeline.sources import Source
from pipeline.validation import Validator

if TYPE_CHECKING:
    from ibis import Table

CLEAN = artefacts.CLEAN_MANIFEST.path.parent
QUARANTINE = artefacts.QUARANTINE.path
PLANNED_AHEAD = timedelta(days=366)
"""Offers that start later than this after the end of the source lie in its last month."""
NOTE = "Rows that broke an expectation, by table and month, with the reasons.\n"

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class CollectionOutcome:
    """The manifest of a run, and the number of reused months."""

    manifest: Manifest
    n_reused: int


@dataclass(frozen=True)
class CollectionRun:
    """The inputs of one run, and the folders `clean` and `quarantine` that it writes."""

    source: Source
    params: CollectionParams
    shop: ShopParams
    validator: Validator
    clean: Path
    quarantine: Path
    left_out: ForgottenCounts | None

    def folders_of(self, table: str) -> MonthFolders:
        """Return the folders of the old and the new months of `table`."""
        return MonthFolders(
            CLEAN / table, QUARANTINE / table, self.clean / table, self.quarantine / table
        )

    def settings(self) -> str:
        """Return a digest of everything but the rows that shapes the clean tables."""
        return digest_settings(self.source, self.params, self.shop)


def collect(
    source: Source,
    params: CollectionParams,
    shop: ShopParams,
    validator: Validator,
    suppressed: SuppressionList,
) -> CollectionOutcome:
    """Write data/clean and data/quarantine atomically.

    Args:
        source: Raw tables.
        params: The section `collection` of params.yaml.
        shop: The section `shop` of params.yaml.
        validator: Validates the expectations.
        suppressed: Forgotten people, whose rows are dropped.

    Raises:
        SourceError: If the source cannot be read, or holds no events.
        DataQualityError: If too many rows break their expectations.
    """
    for folder in (CLEAN, QUARANTINE):
        restore(folder)
    earlier = read_manifest(artefacts.CLEAN_MANIFEST.path)
    inputs = digest_inputs(source, params, shop, suppressed)
    if earlier.inputs == inputs and _is_intact(earlier):
        n_months = len(earlier.events) + len(earlier.offers)
        log.info("the source is unchanged: all %d months reused", n_months)
        return CollectionOutcome(earlier, n_months)
    raw = check_raw(source, earlier.raw, validator, params.maximum_failure_fraction)
    known, left_out = drop_forgotten(source, suppressed)
    with (
        whole_folder(QUARANTINE) as quarantine,
        whole_folder(CLEAN) as clean,
    ):
        (quarantine / "README.txt").write_text(NOTE, encoding="utf-8")
        run = CollectionRun(known, params, shop, validator, clean, quarantine, left_out)
        outcome = _collect_tables(run, earlier, raw, inputs)
        path = clean / artefacts.CLEAN_MANIFEST.path.name
        artefacts.write_json(outcome.manifest.written(), path)
    return CollectionOutcome(read_manifest(artefacts.CLEAN_MANIFEST.path), outcome.n_reused)


def _is_intact(manifest: Manifest) -> bool:
    months = {"events": manifest.events, "offers": manifest.offers}
    partitions = all(
        is_intact(
            record, CLEAN / table / f"{month}.parquet", QUARANTINE / table / f"{month}.parquet"
        )
        for table, records in months.items()
        for month, record in records.items()
    )
    return (
        partitions
        and QUARANTINE.is_dir()
        and all(
            Path(name).is_file() and sha256(Path(name)) == known
            for name, known in manifest.files.items()
        )
    )


def _collect_tables(
    run: CollectionRun, earlier: Manifest, raw: dict[str, Checked], inputs: str
) -> CollectionOutcome:
    source, limit = run.source, run.params.maximum_failure_fraction
    baskets = add_baskets(source.events, run.shop.timezone, source.ends)
    events = materialise(tag_events(baskets, source.items, run.params))
    every_line = add_held_out(events, source, run.params)
    monthly = _feed(every_line, schemas.EVENTS, source.ends, run)
    months, n_reused = collect_months(
        monthly, earlier.events, run.folders_of("events"), run.validator, limit
    )
    counts = count_after_departments(events)
    tagged = materialise(tag_offers(source.offers, source.items, source.events, run.params))
    offers = materialise(add_store_shares(tagged, source.events))
    monthly = _feed(offers, schemas.OFFERS, source.ends + PLANNED_AHEAD, run)
    offer_months, n_reused_offers = collect_months(
        monthly, earlier.offers, run.folders_of("offers"), run.validator, limit
    )
    clean = read_events(run.clean / "events")
    whole, files, described = _collect_whole(run, clean)
    manifest = Manifest(
        inputs=inputs,
        source=source.name,
        not_mapped=source.not_mapped,
        suppressed=asdict(run.left_out) if run.left_out else {},
        corrections=count_corrections(source),
        held_out=count_held_out(source, run.params),
        read_as=source.read_as,
        raw=raw,
        events=months,
        offers=offer_months,
        whole=whole,
        files=files,
        totals=Totals(
            **compute_totals(clean, run.shop.timezone),
            **counts,
            **described,
            n_offers_of_unknown_reach=count_unknown_reach(offers),
        ),
    )
    return CollectionOutcome(manifest, n_reused + n_reused_offers)


def _feed(
    table: "Table", schema: schemas.Table, ends: datetime, run: CollectionRun
) -> MonthlyTable:
    is_events = schema is schemas.EVENTS
    begins = run.source.begins if is_events else None
    rows = add_partition(table, "timestamp" if is_events else "starts", ends, run.shop, begins)
    counted = rows.group_by("partition", "rule").aggregate(n=rows.count()).to_pyarrow().to_pylist()
    dropped: dict[str, dict[str, int]] = {}
    for row in sorted(counted, key=lambda row: (row["partition"], str(row["rule"]))):
        if row["rule"] is not None:
            dropped.setdefault(row["partition"], {})[row["rule"]] = row["n"]
    hashes = hash_contents(rows)
    if not hashes and is_events:
        raise SourceError(
            "a source with events",
            received="an empty table",
            action="Check the file, the mapping and the export that wrote it.",
        )
    return MonthlyTable(
        schema=schema,
        rows=rows,
        hashes=hashes or {"none": digest([])},
        n_rows=sum(row["n"] for row in counted if row["rule"] is None),
        dropped=dropped,
        extra=build_event_expectations(ends, begins) if is_events else build_offer_expectations(),
        settings=run.settings(),
    )


def read_events(folder: Path) -> pa.Table:
    """Return the columns of all clean events that items, users and totals depend on.

    Raises:
        SourceError: If no event is left.
    """
    columns = ["user_id", "item_id", "basket_id", "timestamp"]
    parts = [pq.read_table(path, columns=columns) for path in sorted(folder.glob("*.parquet"))]
    table = pa.concat_tables(parts)
    if not len(table):
        raise SourceError(
            "clean events",
            received="none: the rules of collection drop every row",
            action="Check collection.dropped_departments and maximum_quantity, and the mapping.",
        )
    return table


def _collect_whole(
    run: CollectionRun, events: pa.Table
) -> tuple[dict[str, Checked], dict[str, str], dict[str, int]]:
    """Write items and users; return their checks, the files' sha256, and their counts."""
    seen = events.group_by("item_id").aggregate([("timestamp", "min")]).to_pandas()
    first_seen = seen.set_index("item_id")["timestamp_min"]
    active = pd.Index(events["user_id"].unique().to_pandas())
    listed, described = (fetch(t).to_pandas() for t in (run.source.items, run.source.users))
    items = complete_items(listed, first_seen, run.params.dropped_departments)
    users = complete_users(described, active)
    items_again = select_redescribed(listed, "item_id", run.params.dropped_departments)
    users_again = select_redescribed(described, "user_id")
    whole, files = {}, {}
    for schema, frame, again in (
        (schemas.ITEMS, items, items_again),
        (schemas.USERS, users, users_again),
    ):
        whole[schema.name] = _write_whole(schema, frame, again, run)
        path = run.clean / f"{schema.name}.parquet"
        files[str(CLEAN / path.name)] = sha256(path)
    counts = {
        "n_catalogue": len(items),
        "n_unknown_items": int((~first_seen.index.isin(listed["item_id"])).sum()),
        "n_known_users": int(users["user_id"].isin(described["user_id"]).sum()),
    }
    return whole, files, counts


def _write_whole(
    schema: schemas.Table, first: pd.DataFrame, again: pd.DataFrame, run: CollectionRun
) -> Checked:
    """Write the first description of each id, and quarantine the others."""
    limit = run.params.maximum_failure_fraction
    frame = pd.concat([first, again], ignore_index=True) if len(again) else first
    validation = run.validator.validate(frame, schema, name=schema.name)
    check_failures(validation, frame, limit, where=f"the table '{schema.name}'")
    is_repeated = f"{schema.key[0]}: be unique"
    reasons = {
        row: reason
        for row, reason in reasons_by_row(validation).items()
        if row >= len(first) or reason != is_repeated
    }
    good, bad = split(pa.Table.from_pandas(frame, preserve_index=False), reasons)
    artefacts.write_table(good, run.clean / f"{schema.name}.parquet", schema)
    if len(bad):
        pq.write_table(bad, run.quarantine / f"{schema.name}.parquet", compression="zstd")
    document = run.validator.document(schema.name)
    return Checked(
        fingerprint=digest(document), n_rows=len(frame), n_failing=len(bad), document=document
    )
