"""Delete the events and predictions that were received more than serving.retention_days ago.

A running service does the same once a day.

Reads:  params.yaml (serving.event_store, serving.retention_days).
Writes: the event store.
"""

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pipeline.contracts.params import read_params
from pipeline.event_store.cleaning import retain
from pipeline.event_store.store import EventStore
from pipeline.serving.environment import event_store_url

LOCK_SECONDS = 10.0


def main(argv: Sequence[str]) -> int:
    """Return 0 after printing the number of deleted rows of each table.

    Raises:
        EvergreenError: The rows could not be deleted.
    """
    argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving retain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(argv)
    serving = read_params().serving
    since = datetime.now(UTC) - timedelta(days=serving.retention_days)
    store = EventStore(event_store_url(os.environ, serving.event_store), lock_seconds=LOCK_SECONDS)
    try:
        cleaned = retain(store.database, since)
    finally:
        store.close()
    for table in cleaned:
        print(f"{table.table:<16}{table.n_removed:>10,} deleted{table.n_left:>10,} left")
    return 0
