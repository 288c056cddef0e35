"""The canary: a version that serves a share of the users and is tested against the champion.

No user sees an error of the canary: the champion answers instead, and the error counts. An answer
counts as a hit if the user views, carts or buys one of its items before the next answer.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from pipeline.bundles.release_pointer import Canary
from pipeline.contracts.errors import RequestError
from pipeline.event_store.store import StoredEvent
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.engine.answer_cache import CachePolicy
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import RecommendAnswer, RecommendRequest
from pipeline.serving.releases.metrics import release_metrics
from pipeline.serving.releases.sequential_test import (
    ANSWERS,
    ERRORS,
    HITS,
    N_BUCKETS,
    Deterioration,
    SequentialTest,
    bucket_of,
    interim_level,
)

MAXIMUM_ANSWERS = 50_000  # users whose last answer is held to detect hits
MAXIMUM_OVERDUE = 3
HIT_EVENT_TYPES = {"view", "cart", "purchase"}

log = logging.getLogger("evergreen.serving")


class CanaryExperiment:
    """Splits users between the canary and the champion and tests the canary."""

    def __init__(
        self, engine: RecommendationEngine, rules: Canary, *, timeout_seconds: float
    ) -> None:
        """Start with empty counts.

        Args:
            engine: The canary's engine.
            rules: The canary's share and stop rules.
            timeout_seconds: Limit above which an answer counts as overdue.
        """
        self.engine = engine
        self.rules = rules
        self._test = SequentialTest(max(1, round(rules.share * N_BUCKETS)))
        self._timeout = timeout_seconds
        self._overdue = [0, 0]  # champion, canary
        self._n_interim_tests = 0
        self._last_answers: OrderedDict[str, tuple[int, frozenset[str]]] = OrderedDict()
        self._lock = threading.Lock()
        engine.shared.add_listener(self)

    def is_canary(self, user_id: str) -> bool:
        """Return whether the canary serves this user; the answer never changes for a user."""
        return bucket_of(self.rules.version, user_id) < self._test.n_canary_buckets

    def recommend(self, query: RecommendRequest, champion: RecommendationEngine) -> RecommendAnswer:
        """Return the answer of the user's side, and count its latency and outcome.

        Both sides run their model: cached answers would make the champion look faster than it is.

        Raises:
            RequestError: The request exceeds a limit in params.yaml.
        """
        bucket = bucket_of(self.rules.version, query.user_id)
        in_canary = bucket < self._test.n_canary_buckets
        started = time.perf_counter()
        failed = False
        answer = (
            self._attempt(query) if in_canary else champion.recommend(query, CachePolicy.MODEL_ONLY)
        )
        seconds = time.perf_counter() - started
        if answer is None:
            failed = True
            answer = champion.recommend(query)
        self._count(query.user_id, bucket, answer, seconds, failed=failed)
        release_metrics().canary_answers.labels(side="canary" if in_canary else "champion").inc()
        return answer

    def _attempt(self, query: RecommendRequest) -> RecommendAnswer | None:
        """Return the canary's answer, or None if it fails."""
        try:
            return self.engine.recommend(query, CachePolicy.MODEL_ONLY)
        except RequestError:
            raise
        except Exception:  # any failure of the canary is counted, and the champion answers
            log.exception("The canary %s failed on a request.", self.rules.version)
            release_metrics().canary_errors.inc()
            return None

    def _count(
        self, user_id: str, bucket: int, answer: RecommendAnswer, seconds: float, *, failed: bool
    ) -> None:
        in_canary = bucket < self._test.n_canary_buckets
        items = frozenset(item.item_id for item in answer.items)
        with self._lock:
            self._test.add(bucket, seconds=seconds, failed=failed)
            self._overdue[in_canary] += seconds > self._timeout
            self._last_answers[user_id] = (bucket, items)
            self._last_answers.move_to_end(user_id)
            if len(self._last_answers) > MAXIMUM_ANSWERS:
                self._last_answers.popitem(last=False)

    def handle_events(self, events: Sequence[StoredEvent]) -> None:
        """Count the hits among the events; an answer counts at most once."""
        with self._lock:
            for event in events:
                bucket, items = self._last_answers.get(event.user_id, (0, frozenset()))
                is_hit = event.event_type in HIT_EVENT_TYPES and event.quantity > 0
                if event.item_id in items and is_hit:
                    self._test.add_hit(bucket)
                    del self._last_answers[event.user_id]

    def forget(self, people: SuppressionList) -> None:
        """Delete the last answers of suppressed users."""
        with self._lock:
            for user_id in people.of(list(self._last_answers)):
                del self._last_answers[user_id]

    def find_deterioration(self) -> Deterioration | None:
        """Return why the canary must stop, or None if it may continue.

        An interim test runs once per `minimum_requests` answers of the canary. The canary stops at
        once if its answers are overdue and none of the champion's is.
        """
        with self._lock:
            if self._overdue[True] >= MAXIMUM_OVERDUE and not self._overdue[False]:
                numbers = f"{self._overdue[True]} answers took more than {self._timeout:g} s"
                return Deterioration("latency", f"{numbers}, none of the champion's")
            number = int(self._test.totals()[0][ANSWERS]) // self.rules.minimum_requests
            if number <= self._n_interim_tests:
                return None
            self._n_interim_tests = number
            level = interim_level(number, self.rules.false_stop_probability)
            return self._test.find_deterioration(
                level, maximum_slowdown=self.rules.maximum_slowdown
            )

    def progress(self) -> str:
        """Return the counts of both sides as one readable line."""
        with self._lock:
            canary, champion = self._test.totals()
        parts = []
        for side, sums in (("canary", canary), ("champion", champion)):
            answers, errors, hits = (round(sums[column]) for column in (ANSWERS, ERRORS, HITS))
            parts.append(f"{side}: {answers:,} answers, {errors:,} errors, {hits:,} hits")
        return "; ".join([*parts, f"{self._n_interim_tests} interim tests"])
