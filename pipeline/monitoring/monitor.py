"""Monitoring from end to end: read a period from an event store, observe, decide.

`dvc repro` first replays the weeks after `as_of` through a private service with a store of its own.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.params import PARAMS_PATH, Params
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.event_store.reader import EventStoreReader
from pipeline.monitoring.agreement import measure_agreement
from pipeline.monitoring.context import Context, build_context
from pipeline.monitoring.decide import NOTHING, Judged, decide
from pipeline.monitoring.diagnosis.build import build_case
from pipeline.monitoring.diagnosis.diagnose import Diagnosis, diagnose
from pipeline.monitoring.diagnosis.results import build_refit, restore_all, summarise
from pipeline.monitoring.methods import CHAMPION, read_methods
from pipeline.monitoring.observe import MonitoringInputs, Observation, ProductionTables, observe
from pipeline.monitoring.operations import Operations, summarise_operations
from pipeline.monitoring.outcome import (
    COLUMNS,
    build_findings,
    build_latency,
    build_metrics,
    build_weeks,
)
from pipeline.monitoring.period import Period, latest_period
from pipeline.monitoring.production import Production, read_production
from pipeline.monitoring.replay import Replies, Service, build_requests, replay
from pipeline.monitoring.speed import Speed, measure_logged_speed, measure_speed
from pipeline.monitoring.traffic import Traffic, sample_rows, select_traffic
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.tables import EVENT_COLUMNS
from pipeline.serving.client import ServiceError
from pipeline.serving.environment import event_store_url
from pipeline.testing.reference import Reference

READY_SECONDS = 90.0
# Above the service's own limit, so that the service times out first.
CLIENT_SECONDS = 5.0
# Requests of each repeated measurement of a slow service.
N_REPEATED = 400

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class MonitoringResult:
    """The result of monitoring.

    Attributes:
        metrics: Contents of reports/monitoring/metrics.json.
        weeks: One row per week.
        observation: All measurements; None without traffic.
        context: Quality of other ways to answer; None if not measured.
        latency: Percentiles in ms; they vary between runs, so no DVC output contains them.
        verdict: The conclusion.
        diagnosis: The causes in the window's data and labels, and every statistic.
    """

    metrics: dict[str, Any]
    weeks: pd.DataFrame
    observation: Observation | None
    context: Context | None
    latency: dict[str, float | None]
    verdict: Verdict
    diagnosis: Diagnosis = NOTHING


def read_inputs(params: Params) -> MonitoringInputs:
    """Return the inputs of monitoring; the champion's bundle is verified.

    Raises:
        ArtefactError: If a file is missing or damaged.
    """
    from pipeline.bundles.bundle import verify_bundle
    from pipeline.contracts.plan import read_plan
    from pipeline.recommenders.base.saved import read_description, read_vocabulary

    champion = artefacts.CHAMPION.existing()
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
        params=params,
        p99_limit_ms=plan.guardrails.p99_latency_ms,
        stage_minutes={cost.stage: cost.minutes for cost in plan.costs},
    )


@contextmanager
def serve_champion(store: str) -> Iterator[Service]:
    """Serve the champion for this replay, and yield a client.

    Args:
        store: URL of the service's event store; complete once the service has stopped.

    Raises:
        DeploymentError: If the service does not become ready.
    """
    from pipeline.serving.client import Client
    from pipeline.serving.process import running_service

    with (
        running_service(
            artefacts.CHAMPION.path,
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
        with serve_champion(store) as service:
            replies = replay(traffic, service, inputs.vocabulary, k=inputs.k)
            replayed_at = datetime.now(UTC)  # the requests of _measure_speed come later
            speed = _measure_speed(service, traffic, inputs)
        production = read_replay(store, traffic, replies, inputs, replayed_at)
    if production.traffic.examples.empty:  # no request was answered
        return judge(traffic, replies, inputs, speed)
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


def judge_production(
    production: Production,
    inputs: MonitoringInputs,
    speed: Speed | None,
    operations: Operations | None = None,
) -> MonitoringResult:
    """Judge what an event store recorded.

    Args:
        production: At least one answered request.
        inputs: The inputs of monitoring.
        speed: Latency of the service; None if not reported.
        operations: Operations of a running service; None of a replay.
    """
    inputs = replace(inputs, tables=production.tables)
    methods = read_methods(artefacts.CHAMPION.path, inputs, inputs.params.training.baselines)
    context = build_context(production.traffic, production.replies, inputs, methods)
    return judge(
        production.traffic,
        production.replies,
        inputs,
        speed,
        context,
        operations,
        champion=methods.get(CHAMPION),
    )


def _measure_speed(service: Service, traffic: Traffic, inputs: MonitoringInputs) -> Speed | None:
    """Return the latency of the service, or None if it does not report it."""
    repeated = build_requests(sample_rows(traffic.examples, N_REPEATED), inputs.k)
    try:
        return measure_speed(service, repeated, inputs.p99_limit_ms)
    except ServiceError as error:
        log.warning("The service does not report its latency: %s", error)
        return None


def judge(  # noqa: PLR0913, PLR0917  all that was measured
    traffic: Traffic,
    replies: Replies,
    inputs: MonitoringInputs,
    speed: Speed | None,
    context: Context | None = None,
    operations: Operations | None = None,
    champion: Recommender | None = None,
) -> MonitoringResult:
    """Return the result of monitoring for these replies.

    Args:
        traffic: The replayed requests and events.
        replies: The replies of the service.
        inputs: The inputs of monitoring.
        speed: Latency of the service; None if not reported.
        context: Quality of other ways to answer; None if not measured.
        operations: Operations of a running service; None of a replay.
        champion: The verified bundle in this process; None if not loaded.
    """
    observation = observe(traffic, replies, inputs)
    findings = build_findings(observation, inputs, speed, context, operations)
    if champion is not None:
        agreement = measure_agreement(traffic, replies, inputs, champion)
        findings = replace(findings, agreement=agreement)
    diagnosis = diagnose(build_case(traffic, inputs))
    restored = restore_all(diagnosis, inputs, champion)
    judged = Judged(
        findings=findings,
        diagnosis=diagnosis,
        gains={name: quality.gain for name, quality in restored.items()},
        refit=build_refit(inputs, traffic),
    )
    return MonitoringResult(
        metrics=build_metrics(observation, findings, inputs, context)
        | {"causes": summarise(diagnosis, restored)},
        weeks=build_weeks(observation, inputs),
        observation=observation,
        context=context,
        latency=build_latency(observation, speed),
        verdict=decide(judged, inputs.params.monitoring, inputs.stage_minutes),
        diagnosis=diagnosis,
    )


def build_empty_result(inputs: MonitoringInputs, since: datetime) -> MonitoringResult:
    """Return the result of a period without any request."""
    day = since.astimezone(ZoneInfo(inputs.params.shop.timezone)).date()
    return MonitoringResult(
        metrics={"n_requests": 0, "n_baskets": 0, "n_events": 0, "n_users": 0},
        weeks=pd.DataFrame(columns=list(COLUMNS)),
        observation=None,
        context=None,
        latency={},
        verdict=Verdict(
            phase="monitoring",
            status="proceed",
            cause=f"There is no traffic to judge yet: no request on {day} or later.",
            evidence=(
                Evidence(
                    name="n_requests",
                    value=0.0,
                    holds=True,
                    note="the next run judges the first production baskets",
                ),
            ),
        ),
    )
