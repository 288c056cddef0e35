"""A made-up shop of creatures of habit, a service in memory, and one fault at a time."""

import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import MonitoringParams, Params, read_params
from pipeline.metrics.drift import bin_shares, effective_size, frozen_bins, psi
from pipeline.monitoring import faults, report, watch
from pipeline.monitoring.__main__ import main
from pipeline.monitoring.context import CHAMPION, CONTEXTUAL, DECAYED, SERVED, context_of
from pipeline.monitoring.observe import Known, ProductionTables
from pipeline.monitoring.quality import user_codes, values_of
from pipeline.monitoring.replay import Replies, replay
from pipeline.monitoring.speed import read_speed
from pipeline.monitoring.traffic import Traffic, rolling, traffic_of, week_numbers
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.client import ServiceError
from pipeline.serving.observability.metrics import SECONDS
from pipeline.serving.payloads import Event, RecommendAnswer, RecommendedItem, RecommendRequest
from pipeline.testing.signals import INPUTS, OUTPUTS, input_signals, output_signals
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

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


class Counting:
    """A service that recommends what a shopper bought most often, scored by its share."""

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
    """A hundred answers that took so long, as the endpoint tells them."""
    registry = CollectorRegistry()
    names = ("evergreen_request_seconds", "Seconds.", ["route"])
    series = Histogram(*names, registry=registry, buckets=SECONDS).labels(route="/recommend")
    for _ in range(100):
        series.observe(seconds)
    return generate_latest(registry).decode()


class Flaky(Counting):
    """Its answer to one request in a hundred comes at the second attempt."""

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


class Habits:
    """The items on most of a shopper's lines, those of this weekday twice if that is known."""

    name = "habits"

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        assert explore_slots == 2
        items = np.zeros((len(requests), k), dtype=np.int32)
        for row in range(len(requests)):
            one = requests.part(row, row + 1)
            counts = np.bincount(one.item, minlength=N_ITEMS + 1)
            if not one.time_known[0]:
                assert one.at_store[0] == 0
                counts = -counts  # what it makes of an unknown time is worse, for all to see
            best = np.lexsort((np.arange(len(counts)), -counts))
            best = best[best > 0][:k]
            items[row, : len(best)] = best
        return Recommendations(items, items.astype(np.float32), np.zeros(items.shape, np.int8))

    def rank(self, requests: Requests, k: int) -> Any:
        raise NotImplementedError


METHODS: dict[str, Any] = {CHAMPION: Habits(), DECAYED: Habits(), CONTEXTUAL: Habits()}


@dataclass(frozen=True)
class Shop:
    known: Known

    def watch(
        self,
        tables: ProductionTables,
        damage: Callable[[Replies], Replies] = lambda replies: replies,
        kind: type[Counting] = Counting,
        seconds: float = 0.008,
    ) -> watch.Watch:
        known = replace(self.known, tables=tables)
        params, start = known.params, known.params.shop.windows().as_of
        traffic = traffic_of(tables.examples, tables.events, params.monitoring, params.shop)
        service = kind(tables.events[tables.events["timestamp"] < start])
        replies = replay(traffic, service, known.vocabulary, k=K)
        context = context_of(traffic, replies, known, METHODS)
        return watch.judge(traffic, damage(replies), known, read_speed(histogram(seconds)), context)


def make_events(params: Params) -> pd.DataFrame:
    random = np.random.default_rng(3)
    start = pd.Timestamp(params.shop.windows().as_of)
    rows = []
    for user in range(N_USERS):
        habits = random.choice(N_ITEMS, N_HABITS, replace=False)
        price, gap = random.uniform(1, 5), random.integers(1, 4)
        for day in range(FIRST_DAY + user % gap, LAST_DAY, gap):
            at = start + pd.Timedelta(days=day, hours=int(random.integers(8, 13)))
            basket = [*random.choice(habits, 5, replace=False), random.integers(N_ITEMS)]
            rows += [
                (f"u{user:02d}", f"i{item:03d}", at, price, f"{user}:{day}") for item in basket
            ]
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "price", "basket_id"])
    return events.assign(event_type="purchase", quantity=1.0).drop_duplicates(
        ["basket_id", "item_id"], ignore_index=True
    )


def make_examples(events: pd.DataFrame, params: Params) -> pd.DataFrame:
    windows = params.shop.windows()
    keys = ["user_id", "timestamp", "basket_id"]
    baskets = events.groupby(keys)["item_id"].agg(list).rename("labels").reset_index()
    baskets = baskets[baskets["timestamp"] >= windows.test_start].reset_index(drop=True)
    is_production = baskets["timestamp"] >= windows.as_of
    return baskets.assign(
        split=np.where(is_production, "production", "test"),
        protocol="rolling",
        cart=[[] for _ in range(len(baskets))],
    )


def make_reference(known: Known) -> Known:
    """Return the same with a reference like testing's: the service on the test window."""
    windows = known.params.shop.windows()
    events, examples = known.tables.events, rolling(known.tables.examples, "test")
    inside = (events["timestamp"] >= windows.test_start) & (events["timestamp"] < windows.as_of)
    order = examples.sort_values(["timestamp", "user_id"]).reset_index(drop=True)
    later = events[inside].sort_values("timestamp").reset_index(drop=True)
    traffic = Traffic(windows.test_start, order, later, len(order), 28.0)
    service = Counting(events[events["timestamp"] < windows.test_start])
    served = replay(traffic, service, known.vocabulary, k=K).served
    questions = known.questions(order)
    signals = pd.concat(
        [input_signals(questions.requests), output_signals(served, known.popularity)], axis=1
    )
    bins = {name: frozen_bins(signals[name].to_numpy(), 10) for name in (*INPUTS, *OUTPUTS)}
    week = week_numbers(order, windows.test_start)
    values = {name: float(v.mean()) for name, v in values_of(served, questions, K).items()}
    weekly = {name: _largest(signals[name].to_numpy(), week, bins[name]) for name in bins}
    quality = values | {"interval": {name: [v * 0.97, v * 1.03] for name, v in values.items()}}
    user = user_codes(order)
    sizes = {
        name: effective_size(signals[name].to_numpy(), np.array(bins[name]["edges"]), user)
        for name in bins
    }
    found = {"k": K, "n_requests": len(order), "bins": bins, "weekly_psi": weekly}
    found |= {"explore_slots": 2}
    found |= {"effective_requests": sizes, "confidence": 0.95}
    return replace(known, testing=found | {"quality": quality, f"coverage@{K}": 0.5})


def _largest(values: np.ndarray, week: np.ndarray, bins: dict[str, list[float]]) -> float:
    edges, shares = np.array(bins["edges"]), np.array(bins["shares"])
    return max(psi(shares, bin_shares(values[week == w], edges)) for w in np.unique(week))


@pytest.fixture(scope="module")
def shop() -> Shop:
    read = read_params(Path(__file__).parents[2] / "params.yaml")
    params = read.model_copy(update={"monitoring": MONITORING})
    events = make_events(params)
    users = pd.DataFrame({"user_id": sorted(events["user_id"].unique()), "age": "35-44"})
    tables = ProductionTables(make_examples(events, params), events, users)
    vocabulary = Vocabulary(tuple(f"i{item:03d}" for item in range(N_ITEMS)))
    return Shop(make_reference(Known(tables, {"k": K}, vocabulary, params, p99_limit_ms=40.0)))


def test_sound_production_goes_on(shop: Shop) -> None:
    found = shop.watch(shop.known.tables)
    assert (found.verdict.status, found.verdict.target_phase) == ("proceed", None)
    assert all(each.holds for each in found.verdict.evidence)
    assert found.metrics["failed_requests"] == 0
    assert found.weeks["week"].tolist() == [1, 2, 3, 4]
    assert found.weeks["start"].tolist()[:2] == ["2017-12-04", "2017-12-11"]
    assert found.weeks["n"].sum() == found.metrics["n_requests"]


FAULTS: dict[str, tuple[Callable[[ProductionTables, datetime], ProductionTables], str, str]] = {
    "clock": (
        lambda t, start: faults.shifted_clock(t, start, 6),
        "collection",
        "hour",
    ),
    "prices": (
        lambda t, start: faults.scaled_prices(t, start, 100),
        "collection",
        "recent_price",
    ),
    "item ids": (
        lambda t, start: faults.renamed_items(t, start, 4),
        "collection",
        "unknown items",
    ),
    "lost baskets": (
        lambda t, start: faults.lost_baskets(t, start, 3),
        "collection",
        "baskets per day",
    ),
    "mixed up users": (
        lambda t, start: faults.mixed_up_users(t, start, 5),
        "collection",
        "user ids are mixed up",
    ),
    "misjoined labels": (
        lambda t, start: faults.misjoined_labels(t, start, 5),
        "labeling",
        "no longer belongs",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_data_is_found_and_its_cause_named(shop: Shop, name: str) -> None:
    fault, target, words = FAULTS[name]
    verdict = shop.watch(fault(shop.known.tables, shop.known.params.shop.windows().as_of)).verdict
    assert (verdict.status, verdict.target_phase) == ("return", target)
    assert words in verdict.cause


def test_a_damaged_model_is_found(shop: Shop) -> None:
    n_items = len(shop.known.vocabulary)
    found = shop.watch(shop.known.tables, lambda r: faults.random_answers(r, n_items, seed=5))
    assert found.verdict.target_phase == "deployment"
    assert "wrong or damaged" in found.verdict.cause
    assert found.verdict.gain == pytest.approx(
        shop.known.testing["quality"]["recall@10"] - found.metrics["quality"]["recall@10"]["value"]
    )


def test_a_service_slower_than_planned_is_found(shop: Shop) -> None:
    found = shop.watch(shop.known.tables, seconds=0.05)
    assert (found.verdict.status, found.verdict.target_phase) == ("return", "deployment")
    assert "40 ms were planned" in found.verdict.cause
    assert [e.name for e in found.verdict.failing] == ["p99_latency_ms"]


def test_a_service_whose_answers_come_at_the_second_attempt_is_found(shop: Shop) -> None:
    found = shop.watch(shop.known.tables, kind=Flaky)
    assert found.metrics["failed_requests"] == 0
    assert found.metrics["failed_first_attempts"] == found.metrics["n_requests"] // 100
    assert found.verdict.target_phase == "deployment"
    assert "of the calls failed at first" in found.verdict.cause
    assert [e.name for e in found.verdict.failing] == ["failed_fraction"]


def test_the_same_requests_are_answered_with_less_known_and_by_frequency(shop: Shop) -> None:
    found = shop.watch(shop.known.tables)
    assert found.context is not None
    assert found.context.store_fraction == found.context.cart_fraction == 0.0
    ways = {(way.method, way.is_context_known): way for way in found.context.alternatives}
    assert list(ways) == [
        (SERVED, True), (CHAMPION, False), (DECAYED, False), (CONTEXTUAL, True), (CONTEXTUAL, False)
    ]  # fmt: skip
    served, unknown, frequency = ways[SERVED, True], ways[CHAMPION, False], ways[CONTEXTUAL, True]
    whole = found.metrics["quality"]["recall@10"]["value"]
    assert served.value == pytest.approx(whole, abs=0.01)  # of 1,000 requests
    assert (served.lead["low"], served.lead["high"]) == (0.0, 0.0)
    assert unknown.value < 0.05
    assert unknown.lead["low"] > 0.4
    assert frequency.value == pytest.approx(served.value, abs=0.01)  # the service counts, too
    told = found.metrics["context"]["recall@10"]
    assert told["champion, time and store unknown"]["value"] == unknown.value


def test_two_runs_write_the_same_bytes(shop: Shop, tmp_path: Path) -> None:
    first, second = (shop.watch(shop.known.tables) for _ in range(2))
    for name, found in (("a", first), ("b", second)):
        artefacts.write_json(found.metrics, tmp_path / f"{name}.json")
        report.page(found, shop.known).write(tmp_path / f"{name}.html")
        artefacts.write_text(found.weeks.to_csv(index=False), tmp_path / f"{name}.csv")
    for suffix in ("json", "html", "csv"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert first.verdict == second.verdict


def test_nothing_measured_enters_what_is_written(shop: Shop) -> None:
    found = shop.watch(shop.known.tables)
    assert set(found.latency) == {
        "client_p50_ms", "client_p99_ms", "p50_ms", "p99_ms", "n_looks", "stolen_fraction"
    }  # fmt: skip
    assert "latency" not in found.metrics


def test_the_page_shows_the_weeks_and_the_signals(shop: Shop, tmp_path: Path) -> None:
    report.page(shop.watch(shop.known.tables), shop.known).write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parts = ("Quality by week", "hour of the day", "✓ stable", "within testing")
    parts += ("Known at request time", "answered otherwise", "unknown", "as served")
    for part in parts:
        assert part in text


def test_before_any_production_there_is_nothing_to_replay_and_that_is_fine(
    shop: Shop, tmp_path: Path
) -> None:
    tables, start = shop.known.tables, shop.known.params.shop.windows().as_of
    empty = replace(
        tables,
        events=tables.events[tables.events["timestamp"] < start],
        examples=rolling(tables.examples, "test"),
    )
    found = watch.watch(replace(shop.known, tables=empty))
    assert found.verdict.status == "proceed"
    assert "nothing to replay yet" in found.verdict.cause
    assert found.weeks.empty
    report.page(found, shop.known).write(tmp_path / "page.html")
    assert "nothing to replay yet" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_champion_is_what_is_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, start = shop.known.tables, shop.known.params.shop.windows().as_of
    service = Counting(tables.events[tables.events["timestamp"] < start])

    @contextmanager
    def deployed() -> Iterator[Counting]:
        yield service

    monkeypatch.setattr(watch, "deployed_service", deployed)
    monkeypatch.setattr(watch, "read_methods", lambda *_: METHODS)
    assert watch.watch(shop.known).metrics == shop.watch(tables).metrics


def test_the_stage_writes_its_outputs_and_its_verdict(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, start = shop.known.tables, shop.known.params.shop.windows().as_of

    @contextmanager
    def deployed() -> Iterator[Counting]:
        yield Counting(tables.events[tables.events["timestamp"] < start])

    monkeypatch.setattr(watch, "deployed_service", deployed)
    monkeypatch.setattr(watch, "read_known", lambda _params: shop.known)
    monkeypatch.setattr(watch, "read_methods", lambda *_: METHODS)
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    tiny_shop.write_verdicts(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    written = {path.name for path in (tmp_path / "reports" / "monitoring").iterdir()}
    pages = {"index.html", "headline.json", "verdict.json"}
    assert written == {"metrics.json", "weeks.csv", "latency.json"} | pages
    assert artefacts.read_verdict("monitoring").status == "proceed"


def test_a_missing_champion_is_an_error_that_says_what_to_do(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="dvc repro deployment"):
        watch.read_known(shop.known.params)
