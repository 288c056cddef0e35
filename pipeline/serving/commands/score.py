"""Score many or all users with the champion, without a running service.

The answers equal those of /recommend: events and availability come from the event store.

Reads: params.yaml, the champion (see `releases`; models/champion/ or $EVERGREEN_BUNDLE unless a
version was promoted), the event store, the file of users. Without a file it scores all users with
a purchase before the model's as_of or an event since.
Writes: a file with the rows user_id, rank, item_id, score, slot, reasons, in the format of its
suffix. Memory does not grow with the number of users: rows are written for 64 users at a time, and
the file replaces the old one when it is complete.
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

from pipeline.contracts.atomic import whole_file
from pipeline.contracts.params import read_params
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.commands.common import locate_release_store
from pipeline.serving.commands.score_formats import SCHEMA, WRITERS, choose_writer
from pipeline.serving.commands.user_list import read_users
from pipeline.serving.engine.model_runtime import ModelRuntime, PreparedRequest
from pipeline.serving.environment import event_store_url
from pipeline.serving.parsing import parse_recommend
from pipeline.serving.payloads import RecommendedItem, RecommendRequest
from pipeline.serving.releases.watch import load_first_bundle
from pipeline.serving.reranking.availability import Availability
from pipeline.serving.user_state.recent_events import read_recent_events

BATCH_SIZE = 64

log = logging.getLogger("evergreen.serving")


def main(argv: Sequence[str]) -> int:
    """Return 0 after writing the file.

    Raises:
        EvergreenError: The format is unknown, the users cannot be read, the champion is missing or
            altered, or the event store cannot be opened. Nothing is written.
    """
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=Path, help=".parquet, .csv or .txt; default: all")
    parser.add_argument("--out", type=Path, required=True, help=", ".join(WRITERS))
    parser.add_argument("--k", type=int, help="items per user; default: serving.default_k")
    parser.add_argument("--at", help="time of the requests, ISO 8601 with a zone; default: now")
    arguments = parser.parse_args(argv)
    writer = choose_writer(arguments.out)
    settings = _parse_settings(arguments.k, arguments.at)
    listed = None if arguments.users is None else read_users(arguments.users)
    runtime, blocked, suppressed = _load()
    requested = runtime.builder.known_user_ids() if listed is None else listed
    forgotten = suppressed.of(requested)
    users = [user_id for user_id in requested if user_id not in forgotten]
    with whole_file(arguments.out) as path, writer(path) as write:
        for rows in score_users(runtime, settings, users, blocked):
            write(rows)
    n_unknown = sum(not runtime.builder.is_known(user_id) for user_id in users)
    log.info("%s: %d users, %d of them unknown.", arguments.out, len(users), n_unknown)
    if forgotten:
        log.info("Left out %d users who asked to be forgotten.", len(forgotten))
    return 0


def _parse_settings(k: int | None, at: str | None) -> RecommendRequest:
    """Return a request with the settings of all requests.

    Raises:
        RequestError: `k` or `at` is invalid.
    """
    return parse_recommend(json.dumps({"user_id": "all", "k": k, "at": at}).encode())


def _load() -> tuple[ModelRuntime, AbstractSet[int], SuppressionList]:
    """Return the champion with recent events, the unavailable items, and the forgotten users."""
    from pipeline.bundles.bundle import load_bundle

    params = read_params().serving
    bundle = load_first_bundle(locate_release_store(), load_bundle)
    store = EventStore(event_store_url(os.environ, params.event_store))
    vocabulary = bundle.recommender.vocabulary
    manifest = bundle.manifest
    recent_events = read_recent_events(store, vocabulary, manifest.as_of_moment, manifest.zone)
    blocked = Availability(store, vocabulary).blocked
    store.close()
    return ModelRuntime(bundle, recent_events, params), blocked, store.suppressed


def score_users(
    runtime: ModelRuntime,
    settings: RecommendRequest,
    users: Sequence[str],
    blocked: AbstractSet[int],
) -> Iterator[pa.Table]:
    """Yield the rows of SCHEMA for BATCH_SIZE users at a time, with a progress bar.

    Args:
        runtime: The champion's runtime.
        settings: A request with the settings of all requests.
        users: Ids of the users to score.
        blocked: Indices of unavailable items.

    Raises:
        RequestError: The settings exceed a limit in params.yaml.
    """
    now = time.time()
    with tqdm(total=len(users), desc="score", unit=" users", disable=None) as bar:
        for start in range(0, len(users), BATCH_SIZE):
            batch = users[start : start + BATCH_SIZE]
            queries = [settings.model_copy(update={"user_id": user_id}) for user_id in batch]
            requests = [runtime.prepare(query, now, blocked) for query in queries]
            # Seeds of user and time make the scores reproducible.
            seeds = [f"{request.query.user_id} {request.context.moment}" for request in requests]
            ranked = runtime.rank_batch(requests, seeds)
            items = [
                runtime.build_items(request, ranked, row) for row, request in enumerate(requests)
            ]
            yield _build_rows(requests, items)
            bar.update(len(batch))


def _build_rows(
    requests: Sequence[PreparedRequest], items: Sequence[Sequence[RecommendedItem]]
) -> pa.Table:
    flat = [
        (request.query.user_id, item)
        for request, row in zip(requests, items, strict=True)
        for item in row
    ]
    columns = {
        "user_id": [user_id for user_id, _ in flat],
        **{name: [getattr(item, name) for _, item in flat] for name in SCHEMA.names[1:]},
    }
    return pa.table(columns, schema=SCHEMA)
