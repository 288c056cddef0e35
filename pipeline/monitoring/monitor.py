"""Monitoring from end to end: read a period from an event store, observe, decide.

`dvc repro` first replays the weeks after `as_of` through a private service with a store of its own.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.params import PARAMS_PATH, Params
from pipeline.event_store.reader import EventStoreReader
from pipeline.monitoring.judge import (
    Beside,
    MonitoringResult,
    build_empty_result,
    judge,
    judge_production,
)
from pipeline.monitoring.observe import MonitoringInputs, ProductionTables
from pipeline.monitoring.operations import summarise_operations
from pipeline.monitoring.period import Period, latest_period
from pipeline.monitoring.production import Production, read_production
from pipeline.monitoring.replay import Replies, Service, build_requests, replay
from pipeline.monitoring.speed import Speed, measure_logged_speed, measure_speed
from pipeline.monitoring.traffic import Traffic, sample_rows, select_traffic
from pipeline.recommenders.base.tables import EVENT_COLUMNS
from pipeline.serving.client import ServiceError
from pipeline.serving.environment import event_store_url
from pipeline.serving.releases.store import ReleaseStore
from pipeline.testing.reference import Reference

READY_SECONDS = 90.0
# Above the service's own limit, so that the service times out first.
CLIENT_SECONDS = 5.0
# Requests of each repeated measurement of a slow service.
N_REPEATED = 400

log = logging.getLogger("evergreen")


def read_inputs(params: Params) -> MonitoringInputs:
    """Return the inputs of monitoring; the champion's bundle is verified.

    Raises:
        ArtefactError: If a file is missing or damaged.
    """
    from pipeline.bundles.bundle import verify_bundle
    from pipeline.contracts.plan import read_plan
    from pipeline.recommenders.base.saved import read_description, read_vocabulary

    champion = find_champion()
    verify_bundle(champion)
    plan = read_plan()
    return MonitoringInputs(
        tables=ProductionTables(
            examples=artefacts.read_table(artefacts.EXAMPLES),
            events=artefacts.read_table(artefacts.EVENTS, columns=[*EVENT_COLUMNS, "discount"]),
            users=artefacts.read_table(artefacts.USERS),
            items=artefacts.read_table(artefacts.ITEMS),
            offers=artefacts.read_table(artefacts.OFFERS, columns=["item_id", "starts", "ends"]),
        ),
        testing=artefacts.read_record(Reference, artefacts.REFERENCE),
        vocabulary=read_vocabulary(champion, read_description(champion)),
        bundle=champion,
        params=params,
        p99_limit_ms=plan.guardrails.p99_latency_ms,
        stage_minutes={cost.stage: cost.minutes for cost in plan.costs},
    )


def find_champion() -> Path:
    """Return the bundle that serves all users: after a rollback, another one than models/champion.

    Raises:
        ArtefactError: models/champion is missing, or the release pointer is damaged.
    """
    deployed = artefacts.CHAMPION.existing()
    releases = ReleaseStore(deployed=deployed)
    return releases.bundle_path(releases.read_pointer().champion)


@contextmanager
def serve_champion(bundle: Path, store: str) -> Iterator[Service]:
    """Serve the champion for this replay, and yield a client.

    Args:
        bundle: The champion's bundle.
        store: URL of the service's event store; complete once the service has stopped.

    Raises:
        DeploymentError: If the service does not become ready.
    """
    from pipeline.serving.client import Client
    from pipeline.serving.process import running_service

    with (
        running_service(
            bundle,
            params_path=PARAMS_PATH,
            timeout_seconds=READY_SECONDS,
            event_store=store,
        ) as running,
        Client(running.url, timeout_seconds=CLIENT_SECONDS, attempts=1) as client,
    ):
        yield client


def monitor(inputs: MonitoringInputs) -> MonitoringResult:
    """Judge what `monitoring.source` names.

    Raises:
        StoreError: If the event store cannot be read.
    """
    if inputs.params.monitoring.source == "event_store":
        url = event_store_url(os.environ, inputs.params.serving.event_store)
        return monitor_service(inputs, url, latest_period(inputs.params, datetime.now(UTC)))
    return monitor_replay(inputs)


def monitor_service(inputs: MonitoringInputs, url: str, period: Period) -> MonitoringResult:
    """Judge a period of a running service.

    Args:
        inputs: The inputs of monitoring.
        url: URL of the service's event store, which stays unchanged.
        period: The period.

    Raises:
        StoreError: If the event store cannot be read.
    """
    with EventStoreReader(url) as reader:
        production = read_production(reader, period, inputs)
        counters = reader.read_counters(period.since, period.until)
    if production.traffic.examples.empty:
        return build_empty_result(inputs, period.since)
    operations = summarise_operations(counters, production.arrivals)
    if operations is None:  # of a service before it kept counters
        speed = measure_logged_speed(production.requests["latency_ms"])
        return judge_production(production, inputs, speed)
    production = replace(production, replies=replace(production.replies, calls=operations.calls))
    return judge_production(production, inputs, operations.speed, operations)


def monitor_replay(inputs: MonitoringInputs) -> MonitoringResult:
    """Replay production through the champion and judge what its event store recorded."""
    traffic = select_traffic(
        inputs.tables.examples, inputs.tables.events, inputs.params.monitoring, inputs.params.shop
    )
    if traffic.examples.empty:
        return build_empty_result(inputs, traffic.start)
    with tempfile.TemporaryDirectory(prefix="evergreen-monitoring-") as scratch:
        store = f"sqlite:///{Path(scratch) / 'events.db'}"
        with serve_champion(inputs.bundle, store) as service:
            replies = replay(traffic, service, inputs.vocabulary, k=inputs.k)
            replayed_at = datetime.now(UTC)  # the requests of _measure_speed come later
            speed = _measure_speed(service, traffic, inputs)
        production = read_replay(store, traffic, replies, inputs, replayed_at)
    if production.traffic.examples.empty:  # no request was answered
        return judge(traffic, replies, inputs, Beside(speed))
    return judge_production(production, inputs, speed)


def read_replay(
    store: str, traffic: Traffic, replies: Replies, inputs: MonitoringInputs, replayed_at: datetime
) -> Production:
    """Return what the store of the replay's service recorded, with the client's counts of failures.

    Args:
        store: URL of the store.
        traffic: What was replayed.
        replies: The client's replies.
        inputs: The inputs of monitoring.
        replayed_at: End of the replay by the clock of this machine.
    """
    assert traffic.until is not None
    with EventStoreReader(store) as reader:
        period = Period(traffic.start, traffic.until, replayed_at)
        production = read_production(reader, period, inputs)
    n_lost = len(replies.failed) - replies.n_failed - len(production.requests)
    if n_lost:
        log.warning("%d answers of the replay are not in its event store, and not judged.", n_lost)
    counted = replace(
        production.replies,
        latency_ms=replies.latency_ms,
        n_lost_events=replies.n_lost_events,
        calls=replies.calls,
        n_unanswered=int(replies.failed.sum()),
    )
    return replace(production, replies=counted)


def _measure_speed(service: Service, traffic: Traffic, inputs: MonitoringInputs) -> Speed | None:
    """Return the latency of the service, or None if it does not report it."""
    repeated = build_requests(sample_rows(traffic.examples, N_REPEATED), inputs.k)
    try:
        return measure_speed(service, repeated, inputs.p99_limit_ms)
    except ServiceError as error:
        log.warning("The service does not report its latency: %s", error)
        return None
