"""The judgement of a window: observe, diagnose, decide."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.monitoring.agreement import measure_agreement
from pipeline.monitoring.context import Context, build_context
from pipeline.monitoring.decide import NOTHING, Judged, decide
from pipeline.monitoring.diagnosis.build import build_case, restore_quality
from pipeline.monitoring.diagnosis.diagnose import Diagnosis, diagnose
from pipeline.monitoring.diagnosis.results import build_refit, summarise
from pipeline.monitoring.methods import CHAMPION, read_methods
from pipeline.monitoring.observe import MonitoringInputs, Observation, observe
from pipeline.monitoring.operations import Operations
from pipeline.monitoring.outcome import (
    COLUMNS,
    build_findings,
    build_latency,
    build_metrics,
    build_weeks,
)
from pipeline.monitoring.production import Production
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.speed import Speed
from pipeline.monitoring.traffic import Traffic
from pipeline.recommenders.base.recommender import Recommender


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


@dataclass(frozen=True)
class Beside:
    """What is measured beside the replies.

    Attributes:
        speed: Latency of the service; None if not reported.
        context: Quality of other ways to answer; None if not measured.
        operations: Operations of a running service; None of a replay.
        champion: The verified bundle in this process; None if not loaded.
    """

    speed: Speed | None
    context: Context | None = None
    operations: Operations | None = None
    champion: Recommender | None = None


def judge(
    traffic: Traffic, replies: Replies, inputs: MonitoringInputs, beside: Beside
) -> MonitoringResult:
    """Return the result of monitoring for these replies.

    Args:
        traffic: The replayed requests and events.
        replies: The replies of the service.
        inputs: The inputs of monitoring.
        beside: What is measured beside the replies.
    """
    context = beside.context
    observation = observe(traffic, replies, inputs)
    findings = build_findings(observation, inputs, beside.speed, context, beside.operations)
    if beside.champion is not None:
        agreement = measure_agreement(traffic, replies, inputs, beside.champion)
        findings = replace(findings, agreement=agreement)
    diagnosis = diagnose(build_case(traffic, inputs))
    restored = (
        {}
        if beside.champion is None
        else restore_quality(diagnosis.causes, inputs, beside.champion)
    )
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
        latency=build_latency(observation, beside.speed),
        verdict=decide(judged, inputs.params.monitoring, inputs.stage_minutes),
        diagnosis=diagnosis,
    )


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
    methods = read_methods(inputs.bundle, inputs, inputs.params.training.baselines)
    context = build_context(production.traffic, production.replies, inputs, methods)
    beside = Beside(speed, context, operations, methods.get(CHAMPION))
    return judge(production.traffic, production.replies, inputs, beside)


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
