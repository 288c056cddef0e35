"""Traffic through a service, as it came: a shopper asks, buys, and asks again.

Design choices:

- Shoppers are dealt to several workers, and each worker goes through its own shoppers' time. A
  recommendation depends on that shopper's own past only, so the answers are the same as from one
  worker; they are kept by example, never by arrival.
- Purchases wait until their shopper asks again, and then go out with all others that wait: the
  service knows the same at every request, with a tenth of the writes.
- A service that no longer answers is not asked again: the rest counts as failed.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.monitoring.traffic import Traffic
from pipeline.recommenders.recommender import SLOTS, Recommendations
from pipeline.recommenders.vocabulary import Vocabulary
from pipeline.recommenders.wall_clock import to_seconds
from pipeline.serving.client import ServiceError
from pipeline.shelf.payloads import Event, RecommendAnswer, RecommendRequest

N_WORKERS = 2
# Sent together at the latest: a body stays small and a write short.
MAXIMUM_WAITING = 400


class Service(Protocol):
    """What answers: `pipeline.serving.client.Client`, or a double of it."""

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Answer one request."""
        ...

    def send(self, events: Sequence[Event]) -> Any:
        """Take events in."""
        ...


@dataclass(frozen=True)
class Replies:
    """What came back, in the order of `Traffic.asking`.

    Attributes:
        served: The lists; empty where the request failed.
        failed: [n] whether there was no answer.
        latency_ms: [n] as the client saw it, NaN where failed. Measured: no DVC output has it.
        n_lost_events: Events that the service did not take.
    """

    served: Recommendations
    failed: npt.NDArray[np.bool_]
    latency_ms: npt.NDArray[np.float64]
    n_lost_events: int


@dataclass(frozen=True)
class _Asking:
    """One basket that asks: which example, who, when and where."""

    row: int
    user_id: str
    at: datetime
    cart: tuple[str, ...]
    store_id: str | None


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
        _share(traffic, np.asarray(users[part::n_workers]))
        for part in range(min(n_workers, len(users)))
    ]
    workers = [_Worker(service, k) for _ in shares]
    with ThreadPoolExecutor(max(len(workers), 1), thread_name_prefix="shopper") as pool:
        list(pool.map(lambda pair: pair[0].run(*pair[1]), zip(workers, shares, strict=True)))
    return _collect(workers, len(traffic.asking), vocabulary, k)


def _share(traffic: Traffic, users: npt.NDArray[np.object_]) -> tuple[list[_Asking], pd.DataFrame]:
    asking = traffic.asking[traffic.asking["user_id"].isin(users)]
    columns = (asking["user_id"], asking["timestamp"], asking["cart"], _stores(asking))
    visits = [
        _Asking(int(row), user, at.to_pydatetime(), tuple(cart), store)
        for row, user, at, cart, store in zip(asking.index, *columns, strict=True)
    ]
    return visits, traffic.events[traffic.events["user_id"].isin(users)]


def _stores(frame: pd.DataFrame) -> list[str | None]:
    if "store_id" not in frame:
        return [None] * len(frame)
    return [store if isinstance(store, str) else None for store in frame["store_id"]]


class _Worker:
    """Goes through the time of some shoppers."""

    def __init__(self, service: Service, k: int) -> None:
        self.answers: dict[int, RecommendAnswer] = {}
        self.latency_ms: dict[int, float] = {}
        self.n_lost_events = 0
        self._service = service
        self._k = k
        self._waiting: list[Event] = []
        self._unseen: set[str] = set()
        self._is_gone = False

    def run(self, visits: list[_Asking], events: pd.DataFrame) -> None:
        """Ask and tell in time order; at the same moment, ask first."""
        moments = to_seconds(events["timestamp"])
        bought = events_of(events)
        done = 0
        for visit in visits:
            until = int(np.searchsorted(moments, visit.at.timestamp(), side="left"))
            self._tell(bought[done:until])
            done = until
            if visit.user_id in self._unseen:
                self._flush()
            self._ask(visit)
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
        if self._is_gone:
            self.n_lost_events += len(waiting)
        elif waiting:
            try:
                self._service.send(waiting)
            except ServiceError as error:
                self.n_lost_events += len(waiting)
                self._is_gone = error.status is None

    def _ask(self, visit: _Asking) -> None:
        if self._is_gone:
            return
        request = RecommendRequest(
            user_id=visit.user_id,
            k=self._k,
            cart=list(visit.cart),
            at=visit.at,
            store_id=visit.store_id,
        )
        started = time.perf_counter()
        try:
            self.answers[visit.row] = self._service.recommend(request)
        except ServiceError as error:
            self._is_gone = error.status is None
        else:
            self.latency_ms[visit.row] = (time.perf_counter() - started) * 1e3


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
    return Replies(Recommendations(items, scores, slots), failed, latency, lost)
