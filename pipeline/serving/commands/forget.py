"""Forget people: their events and predictions go, and nothing of theirs is kept again.

Reads:  params.yaml (serving.event_store), data/suppressed/users.csv, data/reviewed/labels.csv.
Writes: the event store, data/suppressed/users.csv; data/reviewed/labels.csv, without what was
        decided about their baskets. Without USER it only brings the two lists of forgotten people
        together, for a new database or after `git pull`.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.contracts.artefacts import REVIEWED_LABELS
from pipeline.contracts.params import read_params
from pipeline.contracts.review_ids import forget_reviews
from pipeline.event_store.cleaning import Cleaned, forget
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
    "models/releases": "the newest five champions; to delete one is to lose it for rollback",
    ".dvc/cache": "uv run dvc gc --workspace",
    "mlartifacts": "uv run mlflow gc --backend-store-uri sqlite:///mlflow.db, of deleted runs",
    ".bentoml": "rm -r .bentoml, it is built anew",
}


def main(argv: Sequence[str]) -> int:
    """Return 0 when nothing is left of them.

    Raises:
        EvergreenError: It could not be done now, or not wholly.
    """
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving forget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("users", nargs="*", metavar="USER", help="a user_id")
    user_ids = sorted(set(parser.parse_args(argv).users))
    url = event_store_url(os.environ, read_params().serving.event_store)
    known = read_suppressed()
    store = EventStore(url, lock_seconds=LOCK_SECONDS)
    try:
        cleaned, after = forget(store.database, user_ids, known)
    finally:
        store.close()
    if after.entries != known.entries:
        write_suppressed(after)
    n_reviews = forget_reviews(REVIEWED_LABELS, user_ids)
    print(_told(user_ids, cleaned, after, n_reviews))
    return int(any(each.n_left for each in cleaned))


def _told(
    user_ids: Sequence[str], cleaned: Sequence[Cleaned], after: SuppressionList, n_reviews: int
) -> str:
    lines = [f"{'table':<16}{'removed':>10}{'left':>10}"]
    lines += [f"{each.table:<16}{each.n_removed:>10,}{each.n_left:>10,}" for each in cleaned]
    lines.append(f"{REVIEWED_LABELS.name:<16}{n_reviews:>10,}{0:>10,}")
    n_listed = len(after.of(user_ids))
    told = f"""\
{n_listed} of {len(user_ids)} are on the list of forgotten people, which holds {len(after)}.
A running service forgets them within seconds. Commit {SUPPRESSED_USERS}:
the next `make repro` then learns nothing from them."""
    if n_reviews:
        told += f"\nCommit {REVIEWED_LABELS} too; earlier commits still have the decisions."
    return "\n".join([*lines, told, *_remains()])


def _remains() -> list[str]:
    """Return which folders of this machine hold data of earlier cycles, and how they go."""
    here = [path for path in RENEWED if Path(path).exists()]
    copies = [f"    {path:<16}{how}" for path, how in COPIES.items() if Path(path).exists()]
    renewed = [f"Written anew by `make repro`, and until then with them: {', '.join(here)}."]
    listed = ["Copies of earlier cycles, yours to delete after it:", *copies]
    return [*(renewed if here else ()), *(listed if copies else ())]
