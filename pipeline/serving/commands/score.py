"""Score many or all shoppers with the model that answers, without a running service.

The answers are those that /recommend would give: events and availability come from the event store.

Reads: params.yaml, the version that answers (see `releases`; models/champion/ or $EVERGREEN_BUNDLE
when none was promoted by hand), the event store, the file of users. Without such a file it scores
all who bought something before the model's as_of or did something since.
Writes: a file with the rows user_id, rank, item_id, score, slot, reasons, in the format that its
name ends in. Memory does not grow with the number of shoppers: rows are written 64 shoppers at a
time, and until the last of them the old file stays.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from pipeline.bundles.archive import RELEASES
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.atomic import whole_file
from pipeline.contracts.params import read_params
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.commands.score_formats import SCHEMA, WRITERS, writer_of
from pipeline.serving.commands.user_list import read_users
from pipeline.serving.engine.model_bundle import as_of_moment, zone_of
from pipeline.serving.engine.model_runtime import ModelRuntime, PreparedRequest
from pipeline.serving.environment import BUNDLE, RELEASES_FOLDER, event_store_url
from pipeline.serving.parsing import parse_recommend
from pipeline.serving.payloads import RecommendedItem, RecommendRequest
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.watch import first_bundle
from pipeline.serving.reranking.availability import Availability
from pipeline.serving.user_state.recent_events import read_recent_events

PART = 64

log = logging.getLogger("evergreen.serving")


def main(argv: Sequence[str]) -> int:
    """Return 0 when the file is written.

    Raises:
        EvergreenError: The format is unknown, the users cannot be read, the champion is missing or
            altered, or the event store cannot be opened. Nothing is written then.
    """
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=Path, help=".parquet, .csv or .txt; all who are known")
    parser.add_argument("--out", type=Path, required=True, help=f"to write: {', '.join(WRITERS)}")
    parser.add_argument("--k", type=int, help="items per shopper; serving.default_k")
    parser.add_argument("--at", help="moment of the requests, ISO 8601 with a zone; now")
    arguments = parser.parse_args(argv)
    writer = writer_of(arguments.out)
    settings = _settings(arguments.k, arguments.at)
    listed = None if arguments.users is None else read_users(arguments.users)
    answering, blocked, suppressed = _load()
    asked = answering.builder.known_user_ids() if listed is None else listed
    forgotten = suppressed.of(asked)
    users = [user_id for user_id in asked if user_id not in forgotten]
    with whole_file(arguments.out) as path, writer(path) as write:
        for rows in scored(answering, settings, users, blocked):
            write(rows)
    n_unknown = sum(not answering.builder.is_known(user_id) for user_id in users)
    log.info("%s: %d shoppers, %d of them not known.", arguments.out, len(users), n_unknown)
    if forgotten:
        log.info("%d people who asked to be forgotten are left out.", len(forgotten))
    return 0


def _settings(k: int | None, at: str | None) -> RecommendRequest:
    """Return what all requests have in common.

    Raises:
        RequestError: It makes no sense.
    """
    return parse_recommend(json.dumps({"user_id": "all", "k": k, "at": at}).encode())


def _load() -> tuple[ModelRuntime, AbstractSet[int], SuppressionList]:
    """Return the champion with what came in since, what cannot be bought, and who is forgotten."""
    from pipeline.bundles.bundle import load_bundle

    params = read_params().serving
    folder = Path(os.environ.get(RELEASES_FOLDER) or RELEASES)
    place = ReleaseStore(folder, deployed=Path(os.environ.get(BUNDLE) or CHAMPION.path))
    bundle = first_bundle(place, load_bundle)
    store = EventStore(event_store_url(os.environ, params.event_store))
    vocabulary = bundle.recommender.vocabulary
    manifest = bundle.manifest
    overlay = read_recent_events(store, vocabulary, as_of_moment(manifest), zone_of(manifest))
    blocked = Availability(store, vocabulary).blocked
    store.close()
    return ModelRuntime(bundle, overlay, params), blocked, store.suppressed


def scored(
    answering: ModelRuntime,
    settings: RecommendRequest,
    users: Sequence[str],
    blocked: AbstractSet[int],
) -> Iterator[pa.Table]:
    """Yield the rows of SCHEMA of some shoppers at a time, with a progress bar.

    Args:
        answering: The champion.
        settings: What all requests have in common.
        users: Whom to score.
        blocked: Item indices that cannot be bought.

    Raises:
        RequestError: They ask for more than params.yaml allows.
    """
    now = time.time()
    with tqdm(total=len(users), desc="score", unit=" shoppers", disable=None) as bar:
        for start in range(0, len(users), PART):
            part = users[start : start + PART]
            queries = [settings.model_copy(update={"user_id": user_id}) for user_id in part]
            asked = [answering.prepare(query, now, blocked) for query in queries]
            # chance by shopper and moment: the same file scored again is the same
            chance = [f"{each.query.user_id} {each.context.moment}" for each in asked]
            shelves = answering.rank_batch(asked, chance)
            yield _rows(
                asked, [answering.build_items(e, shelves, row) for row, e in enumerate(asked)]
            )
            bar.update(len(part))


def _rows(asked: Sequence[PreparedRequest], items: Sequence[Sequence[RecommendedItem]]) -> pa.Table:
    flat = [
        (each.query.user_id, item) for each, row in zip(asked, items, strict=True) for item in row
    ]
    columns = {
        "user_id": [user_id for user_id, _ in flat],
        **{name: [getattr(item, name) for _, item in flat] for name in SCHEMA.names[1:]},
    }
    return pa.table(columns, schema=SCHEMA)
