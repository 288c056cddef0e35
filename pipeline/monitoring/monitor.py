"""Monitoring from end to end: replay, observe, decide."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.params import PARAMS_PATH, Params
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.monitoring.context import Context, build_context, read_methods
from pipeline.monitoring.decide import decide
from pipeline.monitoring.observe import MonitoringInputs, Observation, ProductionTables, observe
from pipeline.monitoring.outcome import (
    COLUMNS,
    build_findings,
    build_latency,
    build_metrics,
    build_weeks,
)
from pipeline.monitoring.replay import Replies, Service, build_requests, replay
from pipeline.monitoring.speed import Speed, measure_speed
from pipeline.monitoring.traffic import Traffic, sample_rows, select_traffic
from pipeline.recommenders.base.tables import EVENT_COLUMNS
from pipeline.serving.client import ServiceError
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
    """

    metrics: dict[str, Any]
    weeks: pd.DataFrame
    observation: Observation | None
    context: Context | None
    latency: dict[str, float | None]
    verdict: Verdict


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
            events=artefacts.read_table(artefacts.EVENTS, columns=EVENT_COLUMNS),
            users=artefacts.read_table(artefacts.USERS),
        ),
        testing=artefacts.read_record(Reference, artefacts.REFERENCE),
        vocabulary=read_vocabulary(champion, read_description(champion)),
        params=params,
        p99_limit_ms=plan.guardrails.p99_latency_ms,
        stage_minutes={cost.stage: cost.minutes for cost in plan.costs},
    )


@contextmanager
def serve_champion() -> Iterator[Service]:
    """Serve the champion for this replay, and yield a client.

    Raises:
        DeploymentError: If the service does not become ready.
    """
    from pipeline.serving.client import Client
    from pipeline.serving.process import running_service

    with tempfile.TemporaryDirectory(prefix="evergreen-monitoring-") as scratch:
        store = f"sqlite:///{Path(scratch) / 'events.db'}"
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
    """Replay production through the champion and judge it."""
    traffic = select_traffic(
        inputs.tables.examples, inputs.tables.events, inputs.params.monitoring, inputs.params.shop
    )
    if traffic.examples.empty:
        return build_empty_result(inputs)
    with serve_champion() as service:
        replies = replay(traffic, service, inputs.vocabulary, k=inputs.k)
        speed = _measure_speed(service, traffic, inputs)
    methods = read_methods(artefacts.CHAMPION.path, inputs, inputs.params.training.baselines)
    context = build_context(traffic, replies, inputs, methods)
    return judge(traffic, replies, inputs, speed, context)


def _measure_speed(service: Service, traffic: Traffic, inputs: MonitoringInputs) -> Speed | None:
    """Return the latency of the service, or None if it does not report it."""
    repeated = build_requests(sample_rows(traffic.examples, N_REPEATED), inputs.k)
    try:
        return measure_speed(service, repeated, inputs.p99_limit_ms)
    except ServiceError as error:
        log.warning("The service does not report its latency: %s", error)
        return None


def judge(
    traffic: Traffic,
    replies: Replies,
    inputs: MonitoringInputs,
    speed: Speed | None,
    context: Context | None = None,
) -> MonitoringResult:
    """Return the result of monitoring for these replies.

    Args:
        traffic: The replayed requests and events.
        replies: The replies of the service.
        inputs: The inputs of monitoring.
        speed: Latency of the service; None if not reported.
        context: Quality of other ways to answer; None if not measured.
    """
    observation = observe(traffic, replies, inputs)
    findings = build_findings(observation, inputs, speed, context)
    return MonitoringResult(
        metrics=build_metrics(observation, findings, inputs, context),
        weeks=build_weeks(observation, inputs),
        observation=observation,
        context=context,
        latency=build_latency(observation, speed),
        verdict=decide(findings, inputs.params.monitoring, inputs.stage_minutes),
    )


def build_empty_result(inputs: MonitoringInputs) -> MonitoringResult:
    """Return the result without any traffic after `as_of`."""
    day = inputs.params.shop.as_of
    return MonitoringResult(
        metrics={"n_requests": 0, "n_baskets": 0, "n_events": 0, "n_users": 0},
        weeks=pd.DataFrame(columns=list(COLUMNS)),
        observation=None,
        context=None,
        latency={},
        verdict=Verdict(
            phase="monitoring",
            status="proceed",
            cause=f"There is no traffic to replay yet: no basket on {day} or later.",
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
