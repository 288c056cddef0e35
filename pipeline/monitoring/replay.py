"""Replay of traffic through a service in time order: a user requests, buys, and requests again.

Design choices:

- Users are split among several workers, and each worker replays its users in time order. A
  recommendation depends only on the user's own past, so the answers are the same as from one
  worker; they are stored by example, not by arrival.
- Purchases are queued until their user's next request, and then sent with all other queued ones:
  the service knows the same at every request, with a tenth of the writes.
- Failed calls are retried, as any client does, and every failed attempt is counted.
- A service that does not respond at all is not called again: the rest counts as failed.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.monitoring.traffic import Traffic
from pipeline.recommenders.base.recommender import SLOTS, Recommendations
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.base.wall_clock import to_seconds
from pipeline.runtime.progress import log_progress
from pipeline.serving.client import RETRY_STATUSES, ServiceError, pause_seconds
from pipeline.serving.payloads import Event, RecommendAnswer, RecommendRequest

N_WORKERS = 2
# Maximum number of queued events, which keeps bodies small and writes short.
MAXIMUM_WAITING = 400
# Of one call, including the first.
MAXIMUM_ATTEMPTS = 5
T = TypeVar("T")


class Service(Protocol):
    """The replayed service: a `pipeline.serving.client.Client` without retries, or a fake."""

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Answer one request."""
        ...

    def send(self, events: Sequence[Event]) -> Any:
        """Send events."""
        ...

    def metrics(self) -> str:
        """Return the service's metrics in the Prometheus text format."""
        ...


@dataclass
class Calls:
    """Counts of calls to the service: requests and batches of events.

    Attributes:
        n: Number of calls; retries are not counted.
        n_failed_first: Calls whose first attempt failed.
        n_failed_attempts: Failed attempts of all calls.
    """

    n: int = 0
    n_failed_first: int = 0
    n_failed_attempts: int = 0

    def count(self, failed_attempts: int) -> None:
        """Count one call with this number of failed attempts."""
        self.n += 1
        self.n_failed_first += failed_attempts > 0
        self.n_failed_attempts += failed_attempts


@dataclass(frozen=True)
class Replies:
    """The replies of the service, in the order of `Traffic.examples`.

    Attributes:
        served: The lists; empty if the request failed.
        failed: [n] whether the request got no answer after all attempts.
        latency_ms: Latency of each call, NaN if it failed: of a replay by the client's clock with
            retries and pauses, else by the service's. It varies, so no DVC output contains it.
        n_lost_events: Events that the service did not accept.
        calls: Counts of calls and failed attempts.
        n_unanswered: Requests without an answer that are no row of `served`.
    """

    served: Recommendations
    failed: npt.NDArray[np.bool_]
    latency_ms: npt.NDArray[np.float64]
    n_lost_events: int
    calls: Calls
    n_unanswered: int = 0

    @property
    def n_failed(self) -> int:
        """The number of requests without an answer after all attempts."""
        return int(self.failed.sum()) + self.n_unanswered

    @property
    def unanswered_fraction(self) -> float:
        """The share of requests without an answer, in 0..1."""
        return self.n_failed / max(len(self.failed) + self.n_unanswered, 1)


def replay(
    traffic: Traffic,
    service: Service,
    vocabulary: Vocabulary,
    *,
    k: int,
    n_workers: int = N_WORKERS,
) -> Replies:
    """Return the replies of `service` to the traffic.

    Args:
        traffic: The requests and events.
        service: The service; it must be thread-safe.
        vocabulary: Vocabulary of the served model.
        k: Length of the lists.
        n_workers: Number of concurrent workers.
    """
    users = pd.Index(pd.concat([traffic.examples["user_id"], traffic.events["user_id"]]).unique())
    shares = [
        _share(traffic, np.asarray(users[part::n_workers]), k)
        for part in range(min(n_workers, len(users)))
    ]
    workers = [_Worker(service, is_shown=not number) for number, _ in enumerate(shares)]
    with ThreadPoolExecutor(max(len(workers), 1), thread_name_prefix="replay") as pool:
        list(pool.map(lambda pair: pair[0].run(pair[1]), zip(workers, shares, strict=True)))
    return _collect(workers, len(traffic.examples), vocabulary, k)


class _ReplayPart(NamedTuple):
    """The traffic of some users: their requests, the row of each request, and their events."""

    rows: list[int]
    requests: list[RecommendRequest]
    events: pd.DataFrame


def _share(traffic: Traffic, users: npt.NDArray[np.object_], k: int) -> _ReplayPart:
    examples = traffic.examples[traffic.examples["user_id"].isin(users)]
    events = traffic.events[traffic.events["user_id"].isin(users)]
    return _ReplayPart(examples.index.tolist(), build_requests(examples, k), events)


def build_requests(examples: pd.DataFrame, k: int) -> list[RecommendRequest]:
    """Return a request to the endpoint for each row of schemas.EXAMPLES."""
    columns = (examples["user_id"], examples["timestamp"], examples["cart"], _stores(examples))
    return [
        RecommendRequest(user_id=user, k=k, cart=list(cart), at=at.to_pydatetime(), store_id=store)
        for user, at, cart, store in zip(*columns, strict=True)
    ]


def _stores(frame: pd.DataFrame) -> list[str | None]:
    if "store_id" not in frame:
        return [None] * len(frame)
    return [store if isinstance(store, str) else None for store in frame["store_id"]]


class _Worker:
    """Replays the traffic of some users in time order."""

    def __init__(self, service: Service, *, is_shown: bool) -> None:
        self.is_shown = is_shown  # the progress of one worker stands for all
        self.answers: dict[int, RecommendAnswer] = {}
        self.latency_ms: dict[int, float] = {}
        self.n_lost_events = 0
        self.calls = Calls()
        self._service = service
        self._waiting: list[Event] = []
        self._unseen: set[str] = set()
        self._is_gone = False

    def run(self, part: _ReplayPart) -> None:
        """Send requests and events in time order; at the same moment, requests first."""
        moments = to_seconds(part.events["timestamp"])
        bought = build_events(part.events)
        done = 0
        pairs: Iterable[tuple[int, RecommendRequest]] = zip(part.rows, part.requests, strict=True)
        if self.is_shown:
            pairs = log_progress(pairs, "requests replayed", len(part.rows))
        for row, request in pairs:
            assert request.at is not None
            until = int(np.searchsorted(moments, request.at.timestamp(), side="left"))
            self._queue(bought[done:until])
            done = until
            if request.user_id in self._unseen:
                self._flush()
            self._ask(row, request)
        self._queue(bought[done:])
        self._flush()

    def _queue(self, events: list[Event]) -> None:
        self._waiting.extend(events)
        self._unseen.update(event.user_id for event in events)
        if len(self._waiting) >= MAXIMUM_WAITING:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._unseen.clear()
        if waiting and self._call(lambda: (self._service.send(waiting),)) is None:
            self.n_lost_events += len(waiting)

    def _ask(self, row: int, request: RecommendRequest) -> None:
        started = time.perf_counter()
        answer = self._call(lambda: self._service.recommend(request))
        if answer is not None:
            self.answers[row] = answer
            self.latency_ms[row] = (time.perf_counter() - started) * 1e3

    def _call(self, call: Callable[[], T]) -> T | None:
        """Return the result of a call with retries, or None if all attempts failed.

        If the service does not respond to any attempt, later calls are skipped.
        """
        failed = 0
        while not self._is_gone:
            try:
                answer = call()
            except ServiceError as error:
                failed += 1
                may_help = error.status is None or error.status in RETRY_STATUSES
                if not may_help or failed == MAXIMUM_ATTEMPTS:
                    self._is_gone = error.status is None
                    break
                time.sleep(pause_seconds(failed))
            else:
                self.calls.count(failed)
                return answer
        self.calls.count(max(failed, 1))
        return None


def build_events(events: pd.DataFrame) -> list[Event]:
    """Return an event for each row of schemas.EVENTS; its id makes a retry harmless."""
    if "discount" not in events:
        events = events.assign(discount=0.0)
    columns = [
        events[name].tolist()
        for name in (
            "user_id", "item_id", "event_type", "quantity", "price", "discount", "basket_id",
        )
    ]  # fmt: skip
    moments = [moment.to_pydatetime() for moment in events["timestamp"]]
    return [
        Event(
            user_id=user,
            item_id=item,
            event_type=kind,
            timestamp=moment,
            quantity=quantity,
            price=price,
            discount=discount,
            basket_id=basket if isinstance(basket, str) else None,
            store_id=store,
            event_id=f"replay-{row}",
        )
        for row, moment, user, item, kind, quantity, price, discount, basket, store in zip(
            events.index, moments, *columns, _stores(events), strict=True
        )
    ]


def _collect(workers: list[_Worker], n: int, vocabulary: Vocabulary, k: int) -> Replies:
    items = np.zeros((n, k), dtype=np.int32)
    scores = np.zeros((n, k), dtype=np.float32)
    slots = np.zeros((n, k), dtype=np.int8)
    latency = np.full(n, np.nan)
    failed = np.ones(n, dtype=bool)
    for worker in workers:
        for row, answer in worker.answers.items():
            shown = answer.items[:k]
            width = len(shown)
            items[row, :width] = vocabulary.encode([item.item_id for item in shown])
            scores[row, :width] = [item.score for item in shown]
            slots[row, :width] = [SLOTS.index(item.slot) for item in shown]
            latency[row], failed[row] = worker.latency_ms[row], False
    lost = sum(worker.n_lost_events for worker in workers)
    calls = _sum([worker.calls for worker in workers])
    return Replies(Recommendations(items, scores, slots), failed, latency, lost, calls)


def _sum(parts: Sequence[Calls]) -> Calls:
    return Calls(
        n=sum(part.n for part in parts),
        n_failed_first=sum(part.n_failed_first for part in parts),
        n_failed_attempts=sum(part.n_failed_attempts for part in parts),
    )
