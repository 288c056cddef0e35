"""What answers now: a champion, and maybe a canary and a shadow, exchanged while running.

Design choices:

- All that a request needs is in one object. A change makes a new one and assigns it: a request that
  began before finishes on the old shelf, which is freed when the last one has.
- Every shelf learns every event, one that is being loaded too; see shelf/common.py.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.contracts.params import ServingParams
from pipeline.event_store.store import EventStore
from pipeline.serving.engine.answer_cache import CachePolicy, NotCachedError
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.engine.model_bundle import ModelBundle
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.payloads import Event, EventsAnswer, RecommendAnswer, RecommendRequest
from pipeline.serving.releases.canary import CanaryExperiment
from pipeline.serving.releases.shadow import Shadow
from pipeline.serving.reranking.availability import AvailabilityAnswer, ItemAvailability

log = logging.getLogger("evergreen.serving")


@dataclass(frozen=True)
class Roles:
    """Who does what at one moment."""

    champion: RecommendationEngine
    canary: CanaryExperiment | None = None
    shadow: Shadow | None = None

    def shelves(self) -> dict[str, RecommendationEngine]:
        """Return every loaded shelf by version."""
        found = [self.champion]
        found += [each.shelf for each in (self.canary, self.shadow) if each is not None]
        return {shelf.version: shelf for shelf in found}


class Releases:
    """Answers with the shelf whose turn it is, and lets the shelves be exchanged."""

    def __init__(self, champion: RecommendationEngine) -> None:
        """Let `champion` answer all requests; further shelves share its store and its log."""
        self._roles = Roles(champion)
        self.assign(self._roles)

    @property
    def roles(self) -> Roles:
        """Who does what now."""
        return self._roles

    @property
    def champion(self) -> RecommendationEngine:
        """The shelf that answers now, but for the canary's shoppers."""
        return self._roles.champion

    def shelf_for(self, user_id: str) -> RecommendationEngine:
        """Return the shelf whose answers a shopper gets."""
        roles = self._roles
        if roles.canary is not None and roles.canary.is_canary(user_id):
            return roles.canary.shelf
        return roles.champion

    def recommend(
        self, query: RecommendRequest, source: CachePolicy = CachePolicy.EITHER
    ) -> RecommendAnswer:
        """Return the answer to one request, of the champion or of the canary.

        Args:
            query: The request.
            source: Of what the model says; while a canary is on trial, nothing kept is given.

        Raises:
            RequestError: It asks for more than params.yaml allows.
            NotCachedError: Nothing that holds is kept, and the model is not the source.
        """
        roles = self._roles
        if roles.canary is None:
            answer = roles.champion.recommend(query, source)
        elif source is CachePolicy.CACHE_ONLY:
            raise NotCachedError
        else:
            answer = roles.canary.recommend(query, roles.champion)
        if roles.shadow is not None:
            roles.shadow.offer(query, answer)
        return answer

    def prepare(self, user_ids: Iterable[str]) -> None:
        """Refresh the cached answers of users, see `RecommendationEngine.refresh_cache`.

        While a canary is on trial nothing kept is given, so nothing is made ready.
        """
        if self._roles.canary is None:
            self._roles.champion.refresh_cache(user_ids)

    def append(self, events: Sequence[Event]) -> EventsAnswer:
        """Put events on disk; the next recommendation of every shelf sees them.

        Raises:
            StoreError: Nothing was written.
        """
        return self._roles.champion.append(events)

    def set_availability(self, changes: Sequence[ItemAvailability]) -> AvailabilityAnswer:
        """Put on disk what can be bought; the next answer of every shelf keeps to it.

        Raises:
            StoreError: Nothing was written, or not every shelf knows; doing it again is safe.
        """
        champion = self._roles.champion
        answer = champion.availability.apply(changes)
        champion.shared.refresh_availability(except_for=champion.availability)
        return answer

    def load(
        self, bundle: ModelBundle, store: EventStore, params: ServingParams
    ) -> RecommendationEngine:
        """Return a warm shelf of `bundle` that knows every event; the shelves there are answer on.

        Raises:
            StoreError: The store cannot be read.
        """
        return RecommendationEngine(bundle, store, params, shared=self.champion.shared)

    def assign(self, roles: Roles) -> list[RecommendationEngine]:
        """Let these answer from the next request on; return the shelves that are done."""
        before, self._roles = self._roles, roles
        kept = roles.shelves()
        gone = [shelf for key, shelf in before.shelves().items() if key not in kept]
        if before.shadow is not None and before.shadow is not roles.shadow:
            before.shadow.close()
        answering = {roles.champion.version}
        answering |= {roles.canary.shelf.version} if roles.canary else set()
        for shelf in (*gone, *kept.values()):
            answers = float(shelf.version in answering)
            metrics().model.labels(version=shelf.version, name=shelf.model_name).set(answers)
        if before is roles or before.champion is not roles.champion:
            log.info("Champion %s (%s) answers.", roles.champion.version, roles.champion.model_name)
        return gone

    def close(self) -> None:
        """Write what waits and close the store."""
        if self._roles.shadow is not None:
            self._roles.shadow.close()
        self._roles.champion.close()
