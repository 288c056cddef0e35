"""The work behind the routes: a loaded bundle, the event store, and an answer per request."""

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.contracts.errors import NotFoundError
from pipeline.contracts.params import ServingParams
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.event_store.tables import StoredEvent
from pipeline.recommenders.base.recommender import SLOTS
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY
from pipeline.serving.engine.answer_cache import CachePolicy
from pipeline.serving.engine.model_runtime import (
    ModelBundle,
    ModelRuntime,
    PreparedRequest,
    as_of_moment,
    zone_of,
)
from pipeline.serving.engine.records import prediction_of, stored_event
from pipeline.serving.engine.shared_state import SharedState
from pipeline.serving.engine.similar import Similar, SimilarAnswer, SimilarQuery
from pipeline.serving.explanations.explanation_log import ExplainAnswer, explanation_of
from pipeline.serving.observability.metrics import measure_stages, metrics
from pipeline.serving.payloads import (
    Event,
    EventsAnswer,
    RecommendAnswer,
    RecommendedItem,
    RecommendRequest,
)
from pipeline.serving.reranking.availability import Availability
from pipeline.serving.user_state.recent_events import RecentEvents

FALLBACK = "popular"

NOBODY = ""
"""Whom the model is asked about instead of a person who asked to be forgotten."""


@dataclass(frozen=True)
class ServedAnswer:
    """An answer, the request in the model's terms, and how long it took: in all, by stage."""

    answer: RecommendAnswer
    asked: PreparedRequest
    latency_ms: float
    seconds: dict[str, float]


class RecommendationEngine:
    """Answers recommendations and takes events in."""

    def __init__(
        self,
        bundle: ModelBundle,
        store: EventStore,
        params: ServingParams,
        *,
        common: SharedState | None = None,
    ) -> None:
        """Learn what happened since the bundle's `as_of`, and warm the model up.

        Args:
            bundle: What answers.
            store: Where events and predictions go.
            params: params.yaml's section.
            common: What the shelves of one service share; of its own if None.

        Raises:
            StoreError: The store cannot be read.
        """
        self.model_name = str(bundle.manifest["model"]["name"])
        self._store = store
        vocabulary = bundle.recommender.vocabulary
        as_of = as_of_moment(bundle.manifest)
        self._overlay = RecentEvents(
            vocabulary, since=as_of.timestamp(), zone=zone_of(bundle.manifest)
        )
        self.answering = ModelRuntime(bundle, self._overlay, params)
        self.version = self.answering.version
        self.availability = Availability(store, vocabulary)
        self._similar = Similar(bundle.histories, self.answering.catalogue)
        self.common = common or SharedState(store, retention_days=params.retention_days)
        self.common.remember(self)
        self.common.stock(self.availability)
        self._overlay.extend(store.events_since(as_of))
        self.forget(store.suppressed)  # who was forgotten while the events were read
        self.answering.warm_up(bundle.histories.user_ids)

    def recommend(
        self, query: RecommendRequest, source: CachePolicy = CachePolicy.EITHER
    ) -> RecommendAnswer:
        """Return the answer to one request, count it and queue it for the log.

        Args:
            query: The request.
            source: Of what the model says.

        Raises:
            RequestError: It asks for more than params.yaml allows.
            NotKeptError: Nothing that holds is kept, and the model is not the source.
        """
        received_at = datetime.now(UTC)
        found = self.answer(self.anonymous(query), received_at, uuid.uuid4().hex, source)
        measure_stages(**found.seconds)
        self.shown(found.asked, found.answer, received_at, latency_ms=found.latency_ms)
        return found.answer

    def answer(
        self,
        query: RecommendRequest,
        received_at: datetime,
        request_id: str,
        source: CachePolicy = CachePolicy.EITHER,
    ) -> ServedAnswer:
        """Return the answer to one request; nothing counts it.

        Raises:
            RequestError: It asks for more than params.yaml allows.
            NotKeptError: Nothing that holds is kept, and the model is not the source.
        """
        started = time.perf_counter()
        asked = self.answering.ask(query, received_at.timestamp(), self.availability.blocked)
        built = time.perf_counter()
        shelves, said = self.answering.shelf(asked, request_id, source)
        ranked = time.perf_counter()
        items = self.answering.items(asked, shelves, contributions=query.explain, told=said.reasons)
        answer = RecommendAnswer(request_id=request_id, model_version=self.version, items=items)
        done = time.perf_counter()
        seconds = {"build": built - started, "model": ranked - built, "explain": done - ranked}
        return ServedAnswer(answer, asked, (done - started) * 1e3, seconds)

    def prepare(self, user_ids: Iterable[str]) -> None:
        """Ask the model anew about those of whom something was kept, so that nobody waits for it.

        Raises:
            RequestError: params.yaml allows less than before.
        """
        for query in self.answering.kept.asked(user_ids):
            self.answer(self.anonymous(query), datetime.now(UTC), "")

    def anonymous(self, query: RecommendRequest) -> RecommendRequest:
        """Return the request, of nobody if it is of a person who asked to be forgotten."""
        if query.user_id in self._store.suppressed:
            return query.model_copy(update={"user_id": NOBODY})
        return query

    def shown(
        self,
        asked: PreparedRequest,
        answer: RecommendAnswer,
        received_at: datetime,
        *,
        latency_ms: float,
    ) -> None:
        """Count an answer and queue it for the log, unless it is nobody's."""
        self._count(asked.query.user_id, answer.items)
        if asked.query.user_id != NOBODY:
            self.common.predictions.put(
                prediction_of(asked, answer, received_at, latency_ms=latency_ms)
            )

    def similar(self, item_id: str, query: SimilarQuery) -> SimilarAnswer:
        """Return the items that are like one, without what cannot be bought.

        Raises:
            NotFoundError: The model does not know the item.
            RequestError: More items than params.yaml allows.
        """
        k = self.answering.limits.size(query.k)
        item = int(self.answering.vocabulary.encode([item_id])[0])
        if item == OUT_OF_VOCABULARY:
            raise NotFoundError(
                "the id of an item that was sold before the model was made",
                received=f"'{item_id[:128]}'",
                action="Correct it, or ask again after the next training.",
            )
        return SimilarAnswer(
            item_id=item_id,
            title=self.answering.catalogue.titles[item],
            model_version=self.version,
            items=self._similar.to(item, k, self.availability.blocked),
        )

    def explanation(self, request_id: str) -> ExplainAnswer:
        """Return what was shown in answer to a request, and why.

        Raises:
            NotFoundError: No answer with that id is in the log.
            StoreError: The log cannot be read.
        """
        waiting = self.common.predictions.waiting(request_id)
        prediction = waiting or self._store.prediction(request_id)
        if prediction is None:
            raise NotFoundError(
                "the request_id of an answer of this service",
                received=f"'{request_id[:128]}'",
                action="Take it from the answer; a batch is in the log only if it was 'shown'.",
            )
        known = self.answering.vocabulary.encode(prediction.items).tolist()
        titles = self.answering.catalogue.titles
        return explanation_of(prediction, [titles[item] for item in known])

    def append(self, events: Sequence[Event]) -> EventsAnswer:
        """Put events on disk; the next recommendation of every shelf sees them.

        Raises:
            StoreError: Nothing was written.
        """
        now = self.common.now()
        new = self._store.append([stored_event(event, now) for event in events])
        self.common.learn(new)
        for event in new:
            metrics().events.labels(event_type=event.event_type).inc()
        if new:
            newest = max(event.timestamp for event in new)
            metrics().event_lag.observe(max(0.0, (now - newest).total_seconds()))
        forgotten = self._store.suppressed.of({event.user_id for event in events})
        kept = sum(event.user_id not in forgotten for event in events)
        duplicates = kept - len(new)
        metrics().duplicates.inc(duplicates)
        return EventsAnswer(accepted=len(new), duplicates=duplicates)

    def learn(self, events: Iterable[StoredEvent]) -> None:
        """Let the next recommendation see events that are on disk."""
        self._overlay.extend(events)

    def forget(self, forgotten: SuppressionList) -> None:
        """Lose all memory of some people."""
        self._overlay.drop(forgotten)
        self.answering.builder.drop(forgotten)
        self.answering.kept.drop(forgotten)

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self.common.close()

    def _count(self, user_id: str, items: Sequence[RecommendedItem]) -> None:
        known = "known" if self.answering.builder.is_known(user_id) else "new"
        metrics().answers.labels(shopper=known).inc()
        for slot in SLOTS:
            metrics().items.labels(slot=slot).inc(sum(item.slot == slot for item in items))
        if any(item.slot == FALLBACK for item in items):
            metrics().fallbacks.inc()
