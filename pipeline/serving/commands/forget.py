"""Forget users: delete their events and predictions, and store nothing about them again.

Reads:  params.yaml (serving.event_store), data/suppressed/users.csv, data/reviewed/labels.csv.
Writes: the event store, data/suppressed/users.csv, and data/reviewed/labels.csv without the
        decisions about their baskets. Without USER it only merges the two lists of forgotten users,
        for a new database or after `git pull`.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.contracts.artefacts import REVIEWED_LABELS
from pipeline.contracts.params import read_params
from pipeline.contracts.review_ids import forget_reviews
from pipeline.event_store.cleaning import CleanedTable, forget
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import (
    SUPPRESSED_USERS,
    SuppressionList,
    read_suppressed,
    write_suppressed,
)
from pipeline.serving.environment import event_store_url

LOCK_SECONDS = 10.0
RENEWED = ("data/clean", "data/quarantine", "data/labelled", "models/champion")
COPIES = {
    "models/releases": "the newest five champions; without them there is no rollback",
    ".dvc/cache": "uv run dvc gc --workspace",
    "mlartifacts": "uv run mlflow gc --backend-store-uri sqlite:///mlflow.db, after deleting runs",
    ".bentoml": "rm -r .bentoml; the next deployment builds it again",
}


def main(argv: Sequence[str]) -> int:
    """Return 0 if no rows of the users are left, else 1.

    Raises:
        EvergreenError: The rows could not be deleted, or not all of them.
    """
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving forget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("users", nargs="*", metavar="USER", help="a user_id")
    user_ids = sorted(set(parser.parse_args(argv).users))
    url = event_store_url(os.environ, read_params().serving.event_store)
    suppressed = read_suppressed()
    store = EventStore(url, lock_seconds=LOCK_SECONDS)
    try:
        cleaned, merged = forget(store.database, user_ids, suppressed)
    finally:
        store.close()
    if merged.entries != suppressed.entries:
        write_suppressed(merged)
    n_reviews = forget_reviews(REVIEWED_LABELS, user_ids)
    print(_format_result(user_ids, cleaned, merged, n_reviews))
    return int(any(table.n_left for table in cleaned))


def _format_result(
    user_ids: Sequence[str],
    cleaned: Sequence[CleanedTable],
    merged: SuppressionList,
    n_reviews: int,
) -> str:
    lines = [f"{'table':<16}{'removed':>10}{'left':>10}"]
    lines += [f"{row.table:<16}{row.n_removed:>10,}{row.n_left:>10,}" for row in cleaned]
    lines.append(f"{REVIEWED_LABELS.name:<16}{n_reviews:>10,}{0:>10,}")
    n_listed = len(merged.of(user_ids))
    summary = f"""\
{n_listed} of {len(user_ids)} are on the list of forgotten people, which holds {len(merged)}.
A running service forgets them within seconds. Commit {SUPPRESSED_USERS}:
from the next `make repro` on, no model learns from them."""
    if n_reviews:
        summary += f"\nCommit {REVIEWED_LABELS} too; earlier commits still contain the decisions."
    return "\n".join([*lines, summary, *_list_remains()])


def _list_remains() -> list[str]:
    """Return which local folders still contain the users' data, and how to delete it."""
    renewed = [path for path in RENEWED if Path(path).exists()]
    copies = [f"    {path:<16}{how}" for path, how in COPIES.items() if Path(path).exists()]
    lines = []
    if renewed:
        lines.append(
            f"These still contain them until `make repro` replaces the files: {', '.join(renewed)}."
        )
    if copies:
        lines += ["Copies of earlier cycles, to delete after `make repro`:", *copies]
    return lines
