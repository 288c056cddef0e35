"""Recommendation engine: a loaded bundle with the event store; one answer per request."""

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
from pipeline.serving.engine.model_bundle import ModelBundle
from pipeline.serving.engine.model_runtime import ModelRuntime, PreparedRequest
from pipeline.serving.engine.records import build_prediction, build_stored_event
from pipeline.serving.engine.shared_state import SharedState
from pipeline.serving.engine.similar import SimilarAnswer, SimilarityIndex, SimilarQuery
from pipeline.serving.explanations.explanation_log import ExplainAnswer, build_explanation
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

ANONYMOUS = ""
"""User id that replaces the id of a suppressed user before the model sees the request."""


@dataclass(frozen=True)
class ServedAnswer:
    """An answer with its request and timings.

    Attributes:
        answer: Body of the response.
        request: The request in the model's terms.
        latency_ms: Total time.
        stage_seconds: Time of the stages `build`, `model` and `explain`.
    """

    answer: RecommendAnswer
    request: PreparedRequest
    latency_ms: float
    stage_seconds: dict[str, float]


class RecommendationEngine:
    """Answers recommendation requests and stores events."""

    def __init__(
        self,
        bundle: ModelBundle,
        store: EventStore,
        params: ServingParams,
        *,
        shared: SharedState | None = None,
    ) -> None:
        """Read the events since the bundle's `as_of` and warm the model up.

        Args:
            bundle: Loaded model bundle.
            store: Store of events and predictions.
            params: Section `serving` of params.yaml.
            shared: State shared by all engines of one service; a new one if None.

        Raises:
            StoreError: The store cannot be read.
        """
        self.model_name = bundle.manifest.model.name
        self._store = store
        vocabulary = bundle.recommender.vocabulary
        as_of = bundle.manifest.as_of_moment
        self._recent_events = RecentEvents(
            vocabulary, since=as_of.timestamp(), zone=bundle.manifest.zone
        )
        self.runtime = ModelRuntime(bundle, self._recent_events, params)
        self.version = self.runtime.version
        self.availability = Availability(store, vocabulary)
        self._similarity = SimilarityIndex(bundle.histories, self.runtime.catalogue)
        self.shared = shared or SharedState(store, retention_days=params.retention_days)
        self.shared.add_listener(self)
        self.shared.add_availability(self.availability)
        self._recent_events.extend(store.events_since(as_of))
        self.forget(store.suppressed)  # users suppressed while the events were read
        self.runtime.warm_up(bundle.histories.user_ids)

    def recommend(
        self, query: RecommendRequest, source: CachePolicy = CachePolicy.EITHER
    ) -> RecommendAnswer:
        """Return the answer to one request; count it and queue it for the prediction log.

        Args:
            query: The request.
            source: Where the ranked lists may come from.

        Raises:
            RequestError: The request exceeds a limit of params.yaml.
            NotCachedError: `source` is CACHE_ONLY and the cache has no valid answer.
        """
        received_at = datetime.now(UTC)
        served = self.answer(self.anonymize(query), received_at, uuid.uuid4().hex, source)
        measure_stages(**served.stage_seconds)
        self.record_answer(served.request, served.answer, received_at, latency_ms=served.latency_ms)
        return served.answer

    def answer(
        self,
        query: RecommendRequest,
        received_at: datetime,
        request_id: str,
        source: CachePolicy = CachePolicy.EITHER,
    ) -> ServedAnswer:
        """Return the answer to one request without counting or logging it.

        Raises:
            RequestError: The request exceeds a limit of params.yaml.
            NotCachedError: `source` is CACHE_ONLY and the cache has no valid answer.
        """
        started = time.perf_counter()
        request = self.runtime.prepare(query, received_at.timestamp(), self.availability.blocked)
        built = time.perf_counter()
        lists, cached = self.runtime.rank(request, request_id, source)
        ranked = time.perf_counter()
        items = self.runtime.build_items(
            request, lists, contributions=query.explain, reasons=cached.reasons
        )
        answer = RecommendAnswer(request_id=request_id, model_version=self.version, items=items)
        done = time.perf_counter()
        seconds = {"build": built - started, "model": ranked - built, "explain": done - ranked}
        return ServedAnswer(answer, request, (done - started) * 1e3, seconds)

    def refresh_cache(self, user_ids: Iterable[str]) -> None:
        """Repeat the last request of each user with a cached answer, so that the next one is fast.

        Raises:
            RequestError: A request exceeds a limit of params.yaml.
        """
        for query in self.runtime.cache.last_queries(user_ids):
            self.answer(self.anonymize(query), datetime.now(UTC), "")

    def anonymize(self, query: RecommendRequest) -> RecommendRequest:
        """Return the request, with the id ANONYMOUS if its user is suppressed."""
        if query.user_id in self._store.suppressed:
            return query.model_copy(update={"user_id": ANONYMOUS})
        return query

    def record_answer(
        self,
        request: PreparedRequest,
        answer: RecommendAnswer,
        received_at: datetime,
        *,
        latency_ms: float,
    ) -> None:
        """Count an answer and queue it for the prediction log, unless its user is anonymous."""
        self._count(request.query.user_id, answer.items)
        if request.query.user_id != ANONYMOUS:
            ids = self.runtime.vocabulary.ids
            cart = [ids[item - 1] for item in request.context.cart]
            self.shared.predictions.put(
                build_prediction(request, answer, received_at, latency_ms=latency_ms, cart=cart)
            )

    def find_similar(self, item_id: str, query: SimilarQuery) -> SimilarAnswer:
        """Return the available items that are similar to one item.

        Raises:
            NotFoundError: The model does not know the item.
            RequestError: `k` exceeds `serving.maximum_k`.
        """
        k = self.runtime.limits.resolve_k(query.k)
        item = int(self.runtime.vocabulary.encode([item_id])[0])
        if item == OUT_OF_VOCABULARY:
            raise NotFoundError(
                "the id of an item that was sold before the model was trained",
                received=f"'{item_id[:128]}'",
                action="Correct the id, or try again after the next training.",
            )
        return SimilarAnswer(
            item_id=item_id,
            title=self.runtime.catalogue.titles[item],
            model_version=self.version,
            items=self._similarity.find(item, k, self.availability.blocked),
        )

    def explain(self, request_id: str) -> ExplainAnswer:
        """Return the items shown in answer to a request, with their logged reasons.

        Raises:
            NotFoundError: The log has no answer with this id.
            StoreError: The log cannot be read.
        """
        waiting = self.shared.predictions.find_waiting(request_id)
        prediction = waiting or self._store.prediction(request_id)
        if prediction is None:
            raise NotFoundError(
                "the request_id of an answer of this service",
                received=f"'{request_id[:128]}'",
                action="Take it from the answer; a batch is logged only if 'shown' is true.",
            )
        indices = self.runtime.vocabulary.encode(prediction.items).tolist()
        titles = self.runtime.catalogue.titles
        return build_explanation(prediction, [titles[item] for item in indices])

    def append(self, events: Sequence[Event]) -> EventsAnswer:
        """Write events to disk; the next recommendation of every engine sees them.

        Raises:
            StoreError: The write failed; no event was stored.
        """
        now = self.shared.now()
        new = self._store.append([build_stored_event(event, now) for event in events])
        self.shared.publish_events(new)
        for event in new:
            metrics().events.labels(event_type=event.event_type).inc()
        if new:
            newest = max(event.timestamp for event in new)
            metrics().event_lag.observe(max(0.0, (now - newest).total_seconds()))
        suppressed = self._store.suppressed.of({event.user_id for event in events})
        n_stored = sum(event.user_id not in suppressed for event in events)
        duplicates = n_stored - len(new)
        metrics().duplicates.inc(duplicates)
        return EventsAnswer(accepted=len(new), duplicates=duplicates)

    def handle_events(self, events: Iterable[StoredEvent]) -> None:
        """Add stored events to memory; the next recommendation sees them."""
        self._recent_events.extend(events)

    def forget(self, suppressed: SuppressionList) -> None:
        """Remove suppressed users from memory."""
        self._recent_events.drop(suppressed)
        self.runtime.builder.drop(suppressed)
        self.runtime.cache.drop(suppressed)

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self.shared.close()

    def _count(self, user_id: str, items: Sequence[RecommendedItem]) -> None:
        known = "known" if self.runtime.builder.is_known(user_id) else "new"
        metrics().answers.labels(shopper=known).inc()
        for slot in SLOTS:
            metrics().items.labels(slot=slot).inc(sum(item.slot == slot for item in items))
        if any(item.slot == FALLBACK for item in items):
            metrics().fallbacks.inc()
