"""A synthetic shop of habitual users, its service in memory, and its monitoring inputs."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from pipeline.contracts.params import MonitoringParams, Params, read_params
from pipeline.contracts.testing_report import MetricSummary
from pipeline.event_store.store import EventStore, Prediction
from pipeline.metrics.drift import effective_size, frozen_bins
from pipeline.monitoring.context import build_context
from pipeline.monitoring.judge import Beside, MonitoringResult, judge
from pipeline.monitoring.methods import CHAMPION, CONTEXTUAL, DECAYED, TESTED
from pipeline.monitoring.observe import MonitoringInputs, ProductionTables
from pipeline.monitoring.quality import compute_metrics, user_codes
from pipeline.monitoring.replay import Replies, replay
from pipeline.monitoring.speed import read_speed
from pipeline.monitoring.traffic import Traffic, select_rolling, select_traffic, week_numbers
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.client import ServiceError
from pipeline.serving.engine.records import build_stored_event
from pipeline.serving.observability.metrics import SECONDS
from pipeline.serving.payloads import Event, RecommendAnswer, RecommendedItem, RecommendRequest
from pipeline.testing.reference import Reference, largest_weekly_psi
from pipeline.testing.signals import INPUTS, OUTPUTS, input_signals, output_signals

K = 10
N_USERS, N_ITEMS, N_HABITS = 90, 400, 12
FIRST_DAY, LAST_DAY = -120, 28
MONITORING = MonitoringParams(
    replay_days=28,
    maximum_requests=5000,
    psi_warning=0.1,
    psi_alarm=0.25,
    psi_broken=0.5,
    maximum_unknown_fraction=0.1,
    maximum_volume_ratio=2.0,
    maximum_failed_fraction=0.001,
    maximum_quality_loss_fraction=0.1,
    confidence=0.95,
    bootstrap_samples=200,
)


class FrequencyService:
    """A service that recommends the most frequent purchases of a user, scored by their share."""

    def __init__(self, events: pd.DataFrame) -> None:
        self._lock = threading.Lock()
        self._bought: dict[str, list[tuple[float, str]]] = defaultdict(list)
        columns = (events["user_id"], events["timestamp"], events["item_id"])
        for user, at, item in zip(*columns, strict=True):
            self._bought[user].append((at.timestamp(), item))

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        assert request.at is not None
        moment = request.at.timestamp()
        with self._lock:
            counts = Counter(item for at, item in self._bought[request.user_id] if at < moment)
        best = sorted(counts, key=lambda item: (-counts[item], item))[: request.k]
        items = [
            RecommendedItem(
                item_id=item,
                title="",
                rank=rank,
                score=counts[item] / counts.total(),
                slot="repeat",
                reasons=[],
            )
            for rank, item in enumerate(best, start=1)
        ]
        return RecommendAnswer(request_id="r", model_version="v", items=items)

    def send(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                assert event.timestamp is not None
                moment = event.timestamp.timestamp()
                self._bought[event.user_id].append((moment, event.item_id))

    def metrics(self) -> str:
        return histogram(0.008)


def histogram(seconds: float) -> str:
    """Return the metrics of an endpoint after a hundred answers of this latency."""
    registry = CollectorRegistry()
    names = ("evergreen_request_seconds", "Seconds.", ["route"])
    series = Histogram(*names, registry=registry, buckets=SECONDS).labels(route="/recommend")
    for _ in range(100):
        series.observe(seconds)
    return generate_latest(registry).decode()


class StoredService(FrequencyService):
    """A service that logs its answers and events in an event store, as the endpoint does."""

    def __init__(self, events: pd.DataFrame, url: str) -> None:
        super().__init__(events)
        self._store = EventStore(url)
        self._n = 0
        self._waiting: list[Prediction] = []

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        answer = super().recommend(request)
        assert request.at is not None
        assert request.k is not None
        with self._lock:
            self._n += 1
            request_id = f"{self._n:032d}"
            prediction = Prediction(
                request_id=request_id,
                user_id=request.user_id,
                timestamp=request.at,
                store_id=request.store_id,
                k=request.k,
                items=[item.item_id for item in answer.items],
                scores=[item.score for item in answer.items],
                slots=[item.slot for item in answer.items],
                model_version="v",
                latency_ms=8.0,
                received_at=datetime.now(UTC),
                propensities=[],
                reasons=[],
                cart=request.cart,
            )
            self._waiting.append(prediction)
        return answer.model_copy(update={"request_id": request_id})

    def send(self, events: Sequence[Event]) -> None:
        super().send(events)
        with self._lock:
            self._store.append([build_stored_event(event, datetime.now(UTC)) for event in events])

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self._store.log(self._waiting)
        self._store.close()


class FlakyService(FrequencyService):
    """A service that fails the first attempt of one request in a hundred."""

    def __init__(self, events: pd.DataFrame) -> None:
        super().__init__(events)
        self._n_asked = 0
        self._failed: set[tuple[str, datetime | None]] = set()

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        key = request.user_id, request.at
        with self._lock:
            is_second = key in self._failed
            self._failed.discard(key)
            self._n_asked += not is_second
            fails = not is_second and self._n_asked % 100 == 0
            if fails:
                self._failed.add(key)
        if fails:
            error = ServiceError("An answer", received="none", action="Wait.")
            error.status = 503
            raise error
        return super().recommend(request)


class HabitMethod:
    """A recommender by frequency of purchases, which is reversed if the time is unknown."""

    name = "habits"

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        assert explore_slots == 2
        items = np.zeros((len(requests), k), dtype=np.int32)
        for row in range(len(requests)):
            one = requests.part(row, row + 1)
            counts = np.bincount(one.item, minlength=N_ITEMS + 1)
            if not one.time_known[0]:
                assert one.at_store[0] == 0
                counts = -counts  # visibly worse without a time
            best = np.lexsort((np.arange(len(counts)), -counts))
            best = best[best > 0][:k]
            items[row, : len(best)] = best
        return Recommendations(items, items.astype(np.float32), np.zeros(items.shape, np.int8))

    def rank(self, requests: Requests, k: int) -> Any:
        raise NotImplementedError


METHODS: dict[str, Any] = {
    CHAMPION: HabitMethod(),
    DECAYED: HabitMethod(),
    CONTEXTUAL: HabitMethod(),
    f"{TESTED}{DECAYED}": HabitMethod(),
    f"{TESTED}{CONTEXTUAL}": HabitMethod(),
}


@dataclass(frozen=True)
class HabitShop:
    inputs: MonitoringInputs

    @contextmanager
    def serve(self, url: str) -> Iterator[StoredService]:
        """Serve as `monitor.serve_champion` does, with a store at this URL."""
        events = self.inputs.tables.events
        start = self.inputs.params.shop.windows().as_of
        service = StoredService(events[events["timestamp"] < start], url)
        try:
            yield service
        finally:
            service.close()

    def watch(
        self,
        tables: ProductionTables,
        damage: Callable[[Replies], Replies] = lambda replies: replies,
        kind: type[FrequencyService] = FrequencyService,
        seconds: float = 0.008,
    ) -> MonitoringResult:
        inputs = replace(self.inputs, tables=tables)
        params, start = inputs.params, inputs.params.shop.windows().as_of
        traffic = select_traffic(tables.examples, tables.events, params.monitoring, params.shop)
        service = kind(tables.events[tables.events["timestamp"] < start])
        replies = replay(traffic, service, inputs.vocabulary, k=K)
        context = build_context(traffic, replies, inputs, METHODS)
        beside = Beside(read_speed(histogram(seconds)), context, champion=METHODS[CHAMPION])
        return judge(traffic, damage(replies), inputs, beside)


def make_events(params: Params) -> pd.DataFrame:
    random = np.random.default_rng(3)
    start = pd.Timestamp(params.shop.windows().as_of)
    prices = random.uniform(1, 20, N_ITEMS).round(2)
    rows = []
    for user in range(N_USERS):
        habits = random.choice(N_ITEMS, N_HABITS, replace=False)
        factor, gap = random.uniform(0.95, 1.05), random.integers(1, 4)
        for day in range(FIRST_DAY + user % gap, LAST_DAY, gap):
            at = start + pd.Timedelta(days=day, hours=int(random.integers(8, 13)))
            basket = [*random.choice(habits, 5, replace=False), random.integers(N_ITEMS)]
            rows += [
                (f"u{user:02d}", f"i{item:03d}", at, factor * prices[item], f"{user}:{day}")
                for item in basket
            ]
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "price", "basket_id"])
    events = events.assign(event_type="purchase", quantity=1.0, store_id=None)
    return events.drop_duplicates(["basket_id", "item_id"], ignore_index=True)


def make_examples(events: pd.DataFrame, params: Params) -> pd.DataFrame:
    windows = params.shop.windows()
    keys = ["user_id", "timestamp", "basket_id"]
    baskets = events.groupby(keys)["item_id"].agg(list).rename("labels").reset_index()
    baskets = baskets[baskets["timestamp"] >= windows.test_start].reset_index(drop=True)
    is_production = baskets["timestamp"] >= windows.as_of
    return baskets.assign(
        split=np.where(is_production, "production", "test"),
        protocol="rolling",
        cart=pd.Series([[]] * len(baskets), dtype=object),
    )


def make_reference(inputs: MonitoringInputs) -> MonitoringInputs:
    """Return the inputs with a reference: the service on the test window."""
    windows = inputs.params.shop.windows()
    events, examples = inputs.tables.events, select_rolling(inputs.tables.examples, "test")
    inside = (events["timestamp"] >= windows.test_start) & (events["timestamp"] < windows.as_of)
    order = examples.sort_values(["timestamp", "user_id"]).reset_index(drop=True)
    later = events[inside].sort_values("timestamp").reset_index(drop=True)
    traffic = Traffic(windows.test_start, order, later, len(order), 28.0)
    service = FrequencyService(events[events["timestamp"] < windows.test_start])
    served = replay(traffic, service, inputs.vocabulary, k=K).served
    evaluation_set = inputs.build_evaluation_set(order)
    signals = pd.concat(
        [input_signals(evaluation_set.requests), output_signals(served, inputs.popularity)], axis=1
    )
    bins = {name: frozen_bins(signals[name].to_numpy(), 10) for name in (*INPUTS, *OUTPUTS)}
    week = week_numbers(order, windows.test_start)
    values = {
        name: float(v.mean()) for name, v in compute_metrics(served, evaluation_set, K).items()
    }
    weekly = {name: largest_weekly_psi(bins[name], signals[name].to_numpy(), week) for name in bins}
    quality = MetricSummary(
        **values,
        interval={name: (v * 0.97, v * 1.03) for name, v in values.items()},
        mean_over_users=values,
    )
    user = user_codes(order)
    sizes = {
        name: effective_size(signals[name].to_numpy(), np.array(bins[name].edges), user)
        for name in bins
    }
    reference = Reference(
        champion="habit",
        k=K,
        explore_slots=2,
        n_requests=len(order),
        bins=bins,
        weekly_psi=weekly,
        effective_requests=sizes,
        confidence=0.95,
        quality=quality,
        **{f"coverage@{K}": 0.5, f"novelty@{K}": 6.0, f"popularity_bias@{K}": 1.0},
    )
    return replace(inputs, testing=reference)


def make_shop() -> HabitShop:
    """Return the shop, with a reference of its test window."""
    read = read_params(Path(__file__).parents[2] / "params.yaml")
    params = read.model_copy(update={"monitoring": MONITORING})
    events = make_events(params)
    users = pd.DataFrame({"user_id": sorted(events["user_id"].unique()), "age": "35-44"})
    tables = ProductionTables(make_examples(events, params), events, users)
    vocabulary = Vocabulary(tuple(f"i{item:03d}" for item in range(N_ITEMS)))
    no_reference = Reference.model_construct(k=K)  # type: ignore[call-arg]  # the rest follows
    return HabitShop(
        make_reference(MonitoringInputs(tables, no_reference, vocabulary, params, 40.0))
    )
