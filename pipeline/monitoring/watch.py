"""The whole of monitoring: replay, observe, decide."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import PARAMS_PATH, Params
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.monitoring.context import Context, context_of, read_methods
from pipeline.monitoring.decide import decide
from pipeline.monitoring.observe import Known, Observation, ProductionTables, observe
from pipeline.monitoring.outcome import COLUMNS, findings_of, latency_of, metrics_of, weeks_of
from pipeline.monitoring.replay import Replies, Service, recommend_requests, replay
from pipeline.monitoring.speed import Speed, measure_speed
from pipeline.monitoring.traffic import Traffic, sampled, traffic_of
from pipeline.recommenders.base.tables import EVENT_COLUMNS
from pipeline.serving.client import ServiceError

READY_SECONDS = 90.0
# Above the service's own limit, so that the service is the one that refuses.
CLIENT_SECONDS = 5.0
# Asked again at each look at a service that was slow.
N_ASKED_AGAIN = 400

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class Watch:
    """What was seen, and what it means.

    Attributes:
        metrics: Contents of reports/monitoring/metrics.json.
        weeks: A row per week.
        seen: All numbers; None when there was nothing to replay.
        context: What requests knew, and the same answered otherwise; None where it was not asked.
        latency: Measured, so in no DVC output.
        verdict: The conclusion.
    """

    metrics: dict[str, Any]
    weeks: pd.DataFrame
    seen: Observation | None
    context: Context | None
    latency: dict[str, float | None]
    verdict: Verdict


def read_known(params: Params) -> Known:
    """Return what traffic is held against, the champion's vocabulary checked and included.

    Raises:
        ArtefactError: A file is missing or damaged.
    """
    from pipeline.bundles.bundle import verify_bundle
    from pipeline.contracts.plan import read_plan
    from pipeline.recommenders.base.saved import read_description, read_vocabulary

    champion = artefacts.CHAMPION.existing()
    verify_bundle(champion)
    plan = read_plan()
    return Known(
        tables=ProductionTables(
            examples=artefacts.read_table(artefacts.EXAMPLES),
            events=artefacts.read_table(artefacts.EVENTS, columns=EVENT_COLUMNS),
            users=artefacts.read_table(artefacts.USERS),
        ),
        testing=_read_reference(),
        vocabulary=read_vocabulary(champion, read_description(champion)),
        params=params,
        p99_limit_ms=plan.guardrails.p99_latency_ms,
        stage_minutes={cost.stage: cost.minutes for cost in plan.costs},
    )


def _read_reference() -> dict[str, Any]:
    """Return what testing froze.

    Raises:
        ArtefactError: It is missing, or of a version that did not write down its errors.
    """
    reference: dict[str, Any] = artefacts.read_json(artefacts.REFERENCE)
    missing = [name for name in ("confidence", "effective_requests") if name not in reference]
    if missing:
        raise ArtefactError(
            f"'{artefacts.REFERENCE.path}' with the errors of what it holds",
            received=f"one without {', '.join(missing)}",
            action="Write it anew: `uv run dvc repro testing`.",
        )
    return reference


@contextmanager
def deployed_service() -> Iterator[Service]:
    """Yield a client of the champion, served for this replay alone.

    Raises:
        DeploymentError: It does not become ready.
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


def watch(known: Known) -> Watch:
    """Replay production through the champion and judge it."""
    traffic = traffic_of(
        known.tables.examples, known.tables.events, known.params.monitoring, known.params.shop
    )
    if traffic.asking.empty:
        return nothing_to_replay(known)
    with deployed_service() as service:
        replies = replay(traffic, service, known.vocabulary, k=known.k)
        speed = _speed_of(service, traffic, known)
    methods = read_methods(artefacts.CHAMPION.path, known, known.params.training.baselines)
    context = context_of(traffic, replies, known, methods)
    return judge(traffic, replies, known, speed, context)


def _speed_of(service: Service, traffic: Traffic, known: Known) -> Speed | None:
    """Return how fast the service answered, None where it does not tell."""
    again = recommend_requests(sampled(traffic.asking, N_ASKED_AGAIN), known.k)
    try:
        return measure_speed(service, again, known.p99_limit_ms)
    except ServiceError as error:
        log.warning("The service does not tell how fast it was: %s", error)
        return None


def judge(
    traffic: Traffic,
    replies: Replies,
    known: Known,
    speed: Speed | None,
    context: Context | None = None,
) -> Watch:
    """Return what the replies to this traffic mean.

    Args:
        traffic: What was asked.
        replies: What came back.
        known: What it is held against.
        speed: How fast, None where the service did not tell.
        context: The same requests answered otherwise, where that was asked.
    """
    seen = observe(traffic, replies, known)
    found = findings_of(seen, known, speed, context)
    return Watch(
        metrics=metrics_of(seen, found, known, context),
        weeks=weeks_of(seen, known),
        seen=seen,
        context=context,
        latency=latency_of(seen, speed),
        verdict=decide(found, known.params.monitoring, known.stage_minutes),
    )


def nothing_to_replay(known: Known) -> Watch:
    """Return what is said before anything happened after `as_of`."""
    day = known.params.shop.as_of
    return Watch(
        metrics={"n_requests": 0, "n_baskets": 0, "n_events": 0, "n_users": 0},
        weeks=pd.DataFrame(columns=list(COLUMNS)),
        seen=None,
        context=None,
        latency={},
        verdict=Verdict(
            phase="monitoring",
            status="proceed",
            cause=f"There is nothing to replay yet: no basket on {day} or later.",
            evidence=(
                Evidence(
                    name="n_requests",
                    value=0.0,
                    holds=True,
                    note="the first production baskets will be judged by the next run",
                ),
            ),
        ),
    )
