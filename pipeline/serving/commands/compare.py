"""Compare a shadow's answers with the answers that users got.

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
from pipeline.serving.commands.common import build_parser, locate_release_store
from pipeline.serving.environment import event_store_url
from pipeline.serving.releases.comparison import AnswerPair, compare_answers


def main(argv: Sequence[str]) -> int:
    """Return 0 after printing the comparison.

    Raises:
        EvergreenError: The store cannot be read, or has no answers of the shadow.
    """
    parser = build_parser("compare", __doc__)
    parser.add_argument(
        "version", nargs="?", help="the shadow's version; default: the current shadow"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    version = options.version or locate_release_store().read_pointer().shadow
    pairs, n_shown = _read_pairs(version or "")
    if not pairs:
        raise DeploymentError(
            "answers of a shadow",
            received=f"none of {version}" if version else "no shadow and no VERSION",
            action="Start one with `uv run python -m pipeline.serving shadow VERSION`, and wait "
            "for requests.",
        )
    numbers = compare_answers(pairs, n_shown)
    print(
        json.dumps({"shadow": version, **numbers}, indent=2)
        if options.json
        else _format_numbers(numbers)
    )
    return 0


def _read_pairs(version: str) -> tuple[list[AnswerPair], int]:
    """Return the requests that the shadow scored, and how many the champion answered meanwhile."""
    store = EventStore(event_store_url(os.environ, read_params().serving.event_store))
    shown, shadow = PREDICTIONS.c, SHADOW_ANSWERS.c
    joined = PREDICTIONS.join(SHADOW_ANSWERS, shown.request_id == shadow.request_id)
    columns = (shown["items"], shown.latency_ms, shadow["items"], shadow.latency_ms)
    times = sa.select(sa.func.min(shadow.received_at), sa.func.max(shadow.received_at))
    try:
        with store.database.reading("both answers to be readable") as connection:
            query = sa.select(*columns).select_from(joined).where(shadow.model_version == version)
            pairs = [AnswerPair(*row) for row in connection.execute(query)]
            first, last = connection.execute(times.where(shadow.model_version == version)).one()
            if first is None:
                return [], 0
            during = shown.received_at.between(first, last)
            count = sa.select(sa.func.count()).select_from(PREDICTIONS).where(during)
            return pairs, max(int(connection.execute(count).scalar_one()), len(pairs))
    finally:
        store.close()


def _format_numbers(numbers: dict[str, float]) -> str:
    """Return one line per number."""
    width = max(len(name) for name in numbers)
    return "\n".join(f"{name:<{width}}  {value:.4g}" for name, value in numbers.items())
