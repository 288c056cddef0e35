"""The versions that serve now: a champion, and optionally a canary and a shadow.

Design choices:

- One object holds everything that a request needs. A change assigns a new one: a request that began
  before finishes on the old engine, which is freed after its last request.
- Every engine learns every event, also while it is loading; see engine/shared_state.py.
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
    """The engines in each role at one moment."""

    champion: RecommendationEngine
    canary: CanaryExperiment | None = None
    shadow: Shadow | None = None

    def engines(self) -> dict[str, RecommendationEngine]:
        """Return every loaded engine by version."""
        trials = [role for role in (self.canary, self.shadow) if role is not None]
        engines = [self.champion, *(role.engine for role in trials)]
        return {engine.version: engine for engine in engines}


class Releases:
    """Routes each request to the engine that serves its user, and exchanges engines."""

    def __init__(self, champion: RecommendationEngine) -> None:
        """Let `champion` answer all requests; later engines share its store and its log."""
        self._roles = Roles(champion)
        self.assign(self._roles)

    @property
    def roles(self) -> Roles:
        """The engines in each role now."""
        return self._roles

    @property
    def champion(self) -> RecommendationEngine:
        """The engine that serves all users but the canary's."""
        return self._roles.champion

    def engine_for(self, user_id: str) -> RecommendationEngine:
        """Return the engine that serves a user."""
        roles = self._roles
        if roles.canary is not None and roles.canary.is_canary(user_id):
            return roles.canary.engine
        return roles.champion

    def recommend(
        self, query: RecommendRequest, policy: CachePolicy = CachePolicy.EITHER
    ) -> RecommendAnswer:
        """Return the champion's or the canary's answer to one request.

        Args:
            query: The request.
            policy: Whether a cached answer may or must be used; during a canary, none is.

        Raises:
            RequestError: The request exceeds a limit in params.yaml.
            NotCachedError: The policy excludes the model, and the cache has no valid answer.
        """
        roles = self._roles
        if roles.canary is None:
            answer = roles.champion.recommend(query, policy)
        elif policy is CachePolicy.CACHE_ONLY:
            raise NotCachedError
        else:
            answer = roles.canary.recommend(query, roles.champion)
        if roles.shadow is not None:
            roles.shadow.offer(query, answer)
        return answer

    def prepare(self, user_ids: Iterable[str]) -> None:
        """Cache answers that users are likely to request; see `RecommendationEngine.prepare`.

        Does nothing during a canary, which uses no cached answers.
        """
        if self._roles.canary is None:
            self._roles.champion.refresh_cache(user_ids)

    def append(self, events: Sequence[Event]) -> EventsAnswer:
        """Write events to disk; the next answer of every engine reflects them.

        Raises:
            StoreError: Nothing was written.
        """
        return self._roles.champion.append(events)

    def set_availability(self, changes: Sequence[ItemAvailability]) -> AvailabilityAnswer:
        """Write availability to disk; the next answer of every engine respects it.

        Raises:
            StoreError: Nothing was written, or not every engine was updated; a retry is safe.
        """
        champion = self._roles.champion
        answer = champion.availability.apply(changes)
        champion.shared.refresh_availability(except_for=champion.availability)
        return answer

    def load(
        self, bundle: ModelBundle, store: EventStore, params: ServingParams
    ) -> RecommendationEngine:
        """Return a warm engine of `bundle` that has learnt every event; others keep serving.

        Raises:
            StoreError: The store cannot be read.
        """
        return RecommendationEngine(bundle, store, params, shared=self.champion.shared)

    def assign(self, roles: Roles) -> list[RecommendationEngine]:
        """Let `roles` serve from the next request on, and return the engines that are released."""
        before, self._roles = self._roles, roles
        current = roles.engines()
        released = [engine for key, engine in before.engines().items() if key not in current]
        if before.shadow is not None and before.shadow is not roles.shadow:
            before.shadow.close()
        serving = {roles.champion.version}
        serving |= {roles.canary.engine.version} if roles.canary else set()
        for engine in (*released, *current.values()):
            is_serving = float(engine.version in serving)
            metrics().model.labels(version=engine.version, name=engine.model_name).set(is_serving)
        if before is roles or before.champion is not roles.champion:
            log.info("The champion is %s (%s).", roles.champion.version, roles.champion.model_name)
        return released

    def close(self) -> None:
        """Write pending answers and close the store."""
        if self._roles.shadow is not None:
            self._roles.shadow.close()
        self._roles.champion.close()
