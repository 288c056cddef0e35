"""Hold a shadow's answers against those that were shown.

Reads:  the event store (predictions, shadow_answers); models/releases/release.json
Writes: nothing
"""

import json
import os
from collections.abc import Sequence

import sqlalchemy as sa

from pipeline.contracts.errors import DeploymentError
from pipeline.contracts.params import read_params
from pipeline.event_store.store import EventStore
from pipeline.event_store.tables import PREDICTIONS, SHADOW_ANSWERS
from pipeline.serving.commands.common import parser, place
from pipeline.serving.environment import event_store_url
from pipeline.serving.releases.comparison import Pair, compare


def main(argv: Sequence[str]) -> int:
    """Return 0 when there was something to compare.

    Raises:
        EvergreenError: The store cannot be read, or has no answers of a shadow.
    """
    arguments = parser("compare", __doc__)
    arguments.add_argument("version", nargs="?", help="of a shadow; the present one")
    arguments.add_argument("--json", action="store_true", help="for programs")
    found = arguments.parse_args(argv)
    version = found.version or place().pointer().shadow
    pairs, n_shown = _read(version or "")
    if not pairs:
        raise DeploymentError(
            "answers of a shadow",
            received=f"none of {version}" if version else "no shadow, and no version was named",
            action="Start one with `uv run python -m pipeline.serving shadow VERSION` and let it "
            "work.",
        )
    numbers = compare(pairs, n_shown)
    print(json.dumps({"shadow": version, **numbers}, indent=2) if found.json else _text(numbers))
    return 0


def _read(version: str) -> tuple[list[Pair], int]:
    """Return the requests that the shadow worked on, and how many were shown in that time."""
    store = EventStore(event_store_url(os.environ, read_params().serving.event_store))
    shown, shadow = PREDICTIONS.c, SHADOW_ANSWERS.c
    both = PREDICTIONS.join(SHADOW_ANSWERS, shown.request_id == shadow.request_id)
    columns = (shown["items"], shown.latency_ms, shadow["items"], shadow.latency_ms)
    times = sa.select(sa.func.min(shadow.received_at), sa.func.max(shadow.received_at))
    try:
        with store.database.reading("both answers to be readable") as connection:
            query = sa.select(*columns).select_from(both).where(shadow.model_version == version)
            pairs = [Pair(*row) for row in connection.execute(query)]
            first, last = connection.execute(times.where(shadow.model_version == version)).one()
            if first is None:
                return [], 0
            during = shown.received_at.between(first, last)
            count = sa.select(sa.func.count()).select_from(PREDICTIONS).where(during)
            return pairs, max(int(connection.execute(count).scalar_one()), len(pairs))
    finally:
        store.close()


def _text(numbers: dict[str, float]) -> str:
    """Return one line per number."""
    width = max(len(name) for name in numbers)
    return "\n".join(f"{name:<{width}}  {value:.4g}" for name, value in numbers.items())
