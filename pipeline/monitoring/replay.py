"""Traffic through a service, as it came: a shopper asks, buys, and asks again.

Design choices:

- Shoppers are dealt to several workers, and each worker goes through its own shoppers' time. A
  recommendation depends on that shopper's own past only, so the answers are the same as from one
  worker; they are kept by example, never by arrival.
- Purchases wait until their shopper asks again, and then go out with all others that wait: the
  service knows the same at every request, with a tenth of the writes.
- What fails is tried again, as any client would, and every failed attempt is counted: a shopper
  whose page came at the third try has waited.
- A service that no longer answers is not asked again: the rest counts as failed.
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
from pipeline.runtime.progress import steps
from pipeline.serving.client import RETRY_STATUSES, ServiceError, pause_seconds
from pipeline.serving.payloads import Event, RecommendAnswer, RecommendRequest

N_WORKERS = 2
# Sent together at the latest: a body stays small and a write short.
MAXIMUM_WAITING = 400
# Of a request or of events that are sent, the first included.
MAXIMUM_ATTEMPTS = 5
T = TypeVar("T")


class Service(Protocol):
    """What answers: `pipeline.serving.client.Client` of one attempt, or a double of it."""

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Answer one request."""
        ...

    def send(self, events: Sequence[Event]) -> Any:
        """Take events in."""
        ...

    def metrics(self) -> str:
        """Return the service's own numbers, as Prometheus reads them."""
        ...


@dataclass
class Calls:
    """How calls of the service went: requests, and events that were sent.

    Attributes:
        n: Calls; one that is tried again is one.
        n_failed_first: Those whose first attempt failed.
        n_failed_attempts: Failed attempts of all calls.
    """

    n: int = 0
    n_failed_first: int = 0
    n_failed_attempts: int = 0

    def count(self, failed_attempts: int) -> None:
        """Count one more call, of which so many attempts failed."""
        self.n += 1
        self.n_failed_first += failed_attempts > 0
        self.n_failed_attempts += failed_attempts


@dataclass(frozen=True)
class Replies:
    """What came back, in the order of `Traffic.asking`.

    Attributes:
        served: The lists; empty where the request failed.
        failed: [n] whether there was no answer, however often it was tried.
        latency_ms: [n] as the client saw it, all attempts and pauses included; NaN where failed.
            Measured: no DVC output has it.
        n_lost_events: Events that the service did not take.
        calls: How often the first attempt failed, and how many attempts in all.
    """

    served: Recommendations
    failed: npt.NDArray[np.bool_]
    latency_ms: npt.NDArray[np.float64]
    n_lost_events: int
    calls: Calls


def replay(
    traffic: Traffic,
    service: Service,
    vocabulary: Vocabulary,
    *,
    k: int,
    n_workers: int = N_WORKERS,
) -> Replies:
    """Return what `service` answers to the traffic.

    Args:
        traffic: What is asked and what is bought.
        service: Shared by the workers; it must bear several threads.
        vocabulary: Of the served model.
        k: Length of the lists.
        n_workers: How many shoppers ask at the same time.
    """
    users = pd.Index(pd.concat([traffic.asking["user_id"], traffic.events["user_id"]]).unique())
    shares = [
        _share(traffic, np.asarray(users[part::n_workers]), k)
        for part in range(min(n_workers, len(users)))
    ]
    workers = [_Worker(service, is_shown=not number) for number, _ in enumerate(shares)]
    with ThreadPoolExecutor(max(len(workers), 1), thread_name_prefix="shopper") as pool:
        list(pool.map(lambda pair: pair[0].run(pair[1]), zip(workers, shares, strict=True)))
    return _collect(workers, len(traffic.asking), vocabulary, k)


class _ReplayPart(NamedTuple):
    """The traffic of some shoppers: their requests, the row of each, and their events."""

    rows: list[int]
    requests: list[RecommendRequest]
    events: pd.DataFrame


def _share(traffic: Traffic, users: npt.NDArray[np.object_], k: int) -> _ReplayPart:
    asking = traffic.asking[traffic.asking["user_id"].isin(users)]
    events = traffic.events[traffic.events["user_id"].isin(users)]
    return _ReplayPart(asking.index.tolist(), recommend_requests(asking, k), events)


def recommend_requests(asking: pd.DataFrame, k: int) -> list[RecommendRequest]:
    """Return schemas.EXAMPLES as the endpoint is asked for them."""
    columns = (asking["user_id"], asking["timestamp"], asking["cart"], _stores(asking))
    return [
        RecommendRequest(user_id=user, k=k, cart=list(cart), at=at.to_pydatetime(), store_id=store)
        for user, at, cart, store in zip(*columns, strict=True)
    ]


def _stores(frame: pd.DataFrame) -> list[str | None]:
    if "store_id" not in frame:
        return [None] * len(frame)
    return [store if isinstance(store, str) else None for store in frame["store_id"]]


class _Worker:
    """Goes through the time of some shoppers."""

    def __init__(self, service: Service, *, is_shown: bool) -> None:
        self.is_shown = is_shown  # one worker's share is like the others'
        self.answers: dict[int, RecommendAnswer] = {}
        self.latency_ms: dict[int, float] = {}
        self.n_lost_events = 0
        self.calls = Calls()
        self._service = service
        self._waiting: list[Event] = []
        self._unseen: set[str] = set()
        self._is_gone = False

    def run(self, part: _ReplayPart) -> None:
        """Ask and tell in time order; at the same moment, ask first."""
        moments = to_seconds(part.events["timestamp"])
        bought = events_of(part.events)
        done = 0
        asking: Iterable[tuple[int, RecommendRequest]] = zip(part.rows, part.requests, strict=True)
        if self.is_shown:
            asking = steps(asking, "weeks replayed", len(part.rows))
        for row, request in asking:
            assert request.at is not None
            until = int(np.searchsorted(moments, request.at.timestamp(), side="left"))
            self._tell(bought[done:until])
            done = until
            if request.user_id in self._unseen:
                self._flush()
            self._ask(row, request)
        self._tell(bought[done:])
        self._flush()

    def _tell(self, events: list[Event]) -> None:
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
        """Return what a call came to, tried again where that may help; None where all failed.

        A service that did not answer any attempt is gone: no later call is tried.
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


def events_of(events: pd.DataFrame) -> list[Event]:
    """Return schemas.EVENTS rows as the endpoint takes them; the id makes a resend harmless."""
    columns = [
        events[name].tolist()
        for name in ("user_id", "item_id", "event_type", "quantity", "price", "basket_id")
    ]
    moments = [moment.to_pydatetime() for moment in events["timestamp"]]
    return [
        Event(
            user_id=user,
            item_id=item,
            event_type=kind,
            timestamp=moment,
            quantity=quantity,
            price=price,
            basket_id=basket if isinstance(basket, str) else None,
            store_id=store,
            event_id=f"replay-{row}",
        )
        for row, moment, user, item, kind, quantity, price, basket, store in zip(
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
