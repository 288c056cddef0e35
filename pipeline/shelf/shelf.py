"""The work behind the routes: a loaded bundle, the event store, and an answer per request."""

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.event_store.store import SOURCE, EventStore, Prediction, StoredEvent
from pipeline.params import ServingParams
from pipeline.recommenders.histories import Histories
from pipeline.recommenders.recommender import (
    SLOTS,
    Explanations,
    Recommendations,
    Recommender,
)
from pipeline.recommenders.requests import Requests
from pipeline.recommenders.vocabulary import OUT_OF_VOCABULARY
from pipeline.shelf.catalogue import Catalogue, build_catalogue
from pipeline.shelf.histories import Overlay, RequestBuilder
from pipeline.shelf.housekeeping import Housekeeping
from pipeline.shelf.metrics import metrics
from pipeline.shelf.payloads import (
    Event,
    EventsAnswer,
    Limits,
    RecommendAnswer,
    RecommendedItem,
    RecommendRequest,
    Slot,
)
from pipeline.shelf.prediction_log import PredictionLog
from pipeline.shelf.reasons import Reasons

NOBODY = ""
"""Whom the model is asked about instead of a person who asked to be forgotten."""

log = logging.getLogger("evergreen.serving")


class ModelBundle(Protocol):
    """What serving needs of `pipeline.deployment.bundle.Bundle`."""

    @property
    def manifest(self) -> dict[str, Any]:
        """Version, model, as_of, timezone."""
        ...

    @property
    def recommender(self) -> Recommender:
        """The fitted method."""
        ...

    @property
    def histories(self) -> Histories:
        """All purchases before as_of."""
        ...

    @property
    def attributes(self) -> pd.DataFrame:
        """Codes, indexed by user_id."""
        ...

    @property
    def items(self) -> pd.DataFrame:
        """What people are shown of items."""
        ...


@dataclass(frozen=True)
class _Asked:
    """A request in the model's terms."""

    user_id: str
    moment: float
    store_id: str | None
    k: int
    explore_slots: int
    requests: Requests


class Shelf:
    """Answers recommendations and takes events in."""

    def __init__(self, bundle: ModelBundle, store: EventStore, params: ServingParams) -> None:
        """Load what the store knows since the bundle's `as_of`, and warm the model up.

        Raises:
            StoreError: The store cannot be read.
        """
        self.version = str(bundle.manifest["version"])
        self.model_name = str(bundle.manifest["model"]["name"])
        self._recommender = bundle.recommender
        self._vocabulary = bundle.recommender.vocabulary
        self._store = store
        self._limits = Limits(params.default_k, params.maximum_k, params.explore_slots)
        as_of = as_of_moment(bundle.manifest)
        self._overlay = Overlay(self._vocabulary, since=as_of.timestamp())
        self._overlay.extend(store.events_since(as_of))
        self._builder = RequestBuilder(
            bundle.histories,
            bundle.attributes,
            self._overlay,
            timezone=str(bundle.manifest["timezone"]),
            cart_hours=params.cart_hours,
            viewed_minutes=params.viewed_minutes,
        )
        self._catalogue: Catalogue = build_catalogue(bundle.items, bundle.histories, as_of=as_of)
        self._log = PredictionLog(store.log)
        self._latest = datetime.now(UTC)
        self._housekeeping = Housekeeping(
            store, self._overlay.drop, retention_days=params.retention_days
        )
        metrics().model.labels(version=self.version, name=self.model_name).set(1)
        self._warm_up(bundle.histories.user_ids[:3], as_of.timestamp())
        log.info("Model %s (%s) answers.", self.version, self.model_name)

    def _warm_up(self, user_ids: Sequence[str], moment: float) -> None:
        """Let the graph trace and allocate before the first shopper waits for it."""
        for user_id in (*user_ids, ""):
            for k in (1, self._limits.default_k, self._limits.maximum_k):
                explore = min(self._limits.explore_slots, k)
                requests = self._builder.build(user_id, moment)
                self._recommender.explain(requests, k, explore_slots=explore)

    def recommend(self, query: RecommendRequest) -> RecommendAnswer:
        """Return the answer to one request, and queue it for the log.

        Raises:
            RequestError: It asks for more than params.yaml allows.
        """
        if query.user_id in self._store.suppressed:
            query = query.model_copy(update={"user_id": NOBODY})
        received_at = datetime.now(UTC)
        started = time.perf_counter()
        asked = self._ask(query, received_at)
        built = time.perf_counter()
        found, explanations = self._recommender.explain(
            asked.requests, asked.k, explore_slots=asked.explore_slots
        )
        ranked = time.perf_counter()
        items = self._items(asked.requests, found, explanations, contributions=query.explain)
        answer = RecommendAnswer(
            request_id=uuid.uuid4().hex, model_version=self.version, items=items
        )
        done = time.perf_counter()
        self._measure(build=built - started, model=ranked - built, explain=done - ranked)
        self._count(query.user_id, items)
        if query.user_id != NOBODY:
            latency_ms = (done - started) * 1e3
            self._log.put(_prediction(asked, answer, received_at, latency_ms=latency_ms))
        return answer

    def _ask(self, query: RecommendRequest, now: datetime) -> _Asked:
        k, explore = self._limits.resolve(query)
        if query.at is None:
            moment = self._builder.moment(query.user_id, now.timestamp())
        else:
            moment = query.at.timestamp()
        requests = self._builder.build(
            query.user_id,
            moment,
            cart=self._vocabulary.encode(query.cart).tolist(),
            viewed=self._vocabulary.encode(query.viewed).tolist(),
            store_id=query.store_id,
        )
        return _Asked(query.user_id, moment, query.store_id, k, explore, requests)

    def _items(
        self,
        requests: Requests,
        found: Recommendations,
        explanations: Explanations,
        *,
        contributions: bool,
    ) -> list[RecommendedItem]:
        """Return the items of the only request, with reasons, and with the numbers if asked."""
        reasons = Reasons(requests, self._catalogue)
        items = []
        rows = zip(found.items[0].tolist(), found.scores[0].tolist(), found.slots[0], strict=True)
        for rank, (item, score, slot) in enumerate(rows):
            if item == OUT_OF_VOCABULARY:
                break
            why, facts = explanations.of(0, rank)
            items.append(
                RecommendedItem.model_construct(
                    item_id=self._catalogue.ids[item],
                    title=self._catalogue.titles[item],
                    rank=rank + 1,
                    score=score,
                    slot=cast("Slot", SLOTS[slot]),
                    reasons=[reason.text for reason in reasons.of(item, why, facts)],
                    contributions=_told(why) if contributions else None,
                )
            )
        return items

    def append(self, events: Sequence[Event]) -> EventsAnswer:
        """Put events on disk; the next recommendation sees them.

        Raises:
            StoreError: Nothing was written.
        """
        now = self._now()
        new = self._store.append([_stored(event, now) for event in events])
        self._overlay.extend(new)
        for event in new:
            metrics().events.labels(event_type=event.event_type).inc()
        forgotten = self._store.suppressed.of({event.user_id for event in events})
        kept = sum(event.user_id not in forgotten for event in events)
        duplicates = kept - len(new)
        metrics().duplicates.inc(duplicates)
        return EventsAnswer(accepted=len(new), duplicates=duplicates)

    def _now(self) -> datetime:
        """Return the time, always later than before: a clock that is put back changes no order."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
        return self._latest

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self._housekeeping.close()
        self._log.close()
        self._store.close()

    def _count(self, user_id: str, items: Sequence[RecommendedItem]) -> None:
        known = "known" if self._builder.is_known(user_id) else "new"
        metrics().answers.labels(shopper=known).inc()
        for slot in SLOTS:
            metrics().items.labels(slot=slot).inc(sum(item.slot == slot for item in items))

    @staticmethod
    def _measure(**seconds: float) -> None:
        for stage, value in seconds.items():
            metrics().answer_seconds.labels(stage=stage).observe(value)


def _told(why: Mapping[str, float]) -> dict[str, float]:
    """Return the contributions that are not nothing, the largest first."""
    rounded = {group: round(added, 6) for group, added in why.items()}
    ordered = sorted(rounded.items(), key=lambda pair: -pair[1])
    return {group: added for group, added in ordered if added}


def as_of_moment(manifest: dict[str, Any]) -> datetime:
    """Return the first moment that the bundle does not know, in the shop's time zone.

    >>> as_of_moment({"as_of": "2017-12-04", "timezone": "America/New_York"}).isoformat()
    '2017-12-04T00:00:00-05:00'
    >>> as_of_moment({"as_of": "2017-12-04T05:00:00+00:00", "timezone": "UTC"}).isoformat()
    '2017-12-04T05:00:00+00:00'
    """
    moment = datetime.fromisoformat(str(manifest["as_of"]))
    zone = ZoneInfo(str(manifest["timezone"]))
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def _stored(event: Event, now: datetime) -> StoredEvent:
    return StoredEvent(
        event_id=event.event_id or uuid.uuid4().hex,
        user_id=event.user_id,
        item_id=event.item_id,
        timestamp=event.timestamp or now,
        event_type=event.event_type,
        quantity=event.quantity,
        price=event.price,
        discount=event.discount,
        basket_id=event.basket_id,
        session_id=event.session_id,
        store_id=event.store_id,
        source=SOURCE,
        received_at=now,
    )


def _prediction(
    asked: _Asked, answer: RecommendAnswer, received_at: datetime, *, latency_ms: float
) -> Prediction:
    return Prediction(
        request_id=answer.request_id,
        user_id=asked.user_id,
        timestamp=datetime.fromtimestamp(asked.moment, tz=UTC),
        store_id=asked.store_id,
        k=asked.k,
        items=[item.item_id for item in answer.items],
        scores=[item.score for item in answer.items],
        slots=[item.slot for item in answer.items],
        model_version=answer.model_version,
        latency_ms=latency_ms,
        received_at=received_at,
    )
