"""The canary: a version that answers its share of the shoppers, watched while it does.

An error of the canary reaches nobody: the champion answers instead, and the error counts. A hit is
an answer of which the shopper then viewed, carted or bought an item, before the next answer.
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
    level_of_look,
)

MAXIMUM_SHOWN = 50_000  # last answers that are remembered to tell hits
MAXIMUM_OVERDUE = 3
WANTED = {"view", "cart", "purchase"}

log = logging.getLogger("evergreen.serving")


class CanaryExperiment:
    """A shelf on trial beside the champion."""

    def __init__(
        self, shelf: RecommendationEngine, rules: Canary, *, timeout_seconds: float
    ) -> None:
        """Start with nothing counted.

        Args:
            shelf: The canary.
            rules: Its share, and when to stop it.
            timeout_seconds: An answer that takes longer is lost to the shopper.
        """
        self.shelf = shelf
        self.rules = rules
        self._tally = SequentialTest(max(1, round(rules.share * N_BUCKETS)))
        self._timeout = timeout_seconds
        self._overdue = [0, 0]  # of the champion, of the canary
        self._looks = 0
        self._shown: OrderedDict[str, tuple[int, frozenset[str]]] = OrderedDict()
        self._lock = threading.Lock()
        shelf.shared.add_listener(self)

    def is_canary(self, user_id: str) -> bool:
        """Tell whether a shopper gets the canary: always the same answer for the same shopper."""
        return bucket_of(self.rules.version, user_id) < self._tally.n_canary_buckets

    def recommend(self, query: RecommendRequest, champion: RecommendationEngine) -> RecommendAnswer:
        """Return the answer of the side that the shopper belongs to, and count how it went.

        Both sides ask their models: what the champion said before the canary came would make it
        look faster than it is.

        Raises:
            RequestError: It asks for more than params.yaml allows.
        """
        bucket = bucket_of(self.rules.version, query.user_id)
        on_trial = bucket < self._tally.n_canary_buckets
        started = time.perf_counter()
        failed = False
        answer = (
            self._attempt(query) if on_trial else champion.recommend(query, CachePolicy.MODEL_ONLY)
        )
        seconds = time.perf_counter() - started
        if answer is None:
            failed = True
            answer = champion.recommend(query)
        self._count(query.user_id, bucket, answer, seconds, failed=failed)
        release_metrics().canary_answers.labels(side="canary" if on_trial else "champion").inc()
        return answer

    def _attempt(self, query: RecommendRequest) -> RecommendAnswer | None:
        """Return the canary's answer, None when it failed."""
        try:
            return self.shelf.recommend(query, CachePolicy.MODEL_ONLY)
        except RequestError:
            raise
        except Exception:  # a model on trial may fail in any way: counted, and the champion answers
            log.exception("The canary %s failed on a request.", self.rules.version)
            release_metrics().canary_errors.inc()
            return None

    def _count(
        self, user_id: str, bucket: int, answer: RecommendAnswer, seconds: float, *, failed: bool
    ) -> None:
        on_trial = bucket < self._tally.n_canary_buckets
        items = frozenset(item.item_id for item in answer.items)
        with self._lock:
            self._tally.add(bucket, seconds=seconds, failed=failed)
            self._overdue[on_trial] += seconds > self._timeout
            self._shown[user_id] = (bucket, items)
            self._shown.move_to_end(user_id)
            if len(self._shown) > MAXIMUM_SHOWN:
                self._shown.popitem(last=False)

    def handle_events(self, events: Sequence[StoredEvent]) -> None:
        """Count the answers of which shoppers wanted something; each at most once."""
        with self._lock:
            for event in events:
                bucket, items = self._shown.get(event.user_id, (0, frozenset()))
                if event.item_id in items and event.event_type in WANTED and event.quantity > 0:
                    self._tally.add_hit(bucket)
                    del self._shown[event.user_id]

    def forget(self, people: SuppressionList) -> None:
        """Lose all memory of some people."""
        with self._lock:
            for user_id in people.of(list(self._shown)):
                del self._shown[user_id]

    def look(self) -> Deterioration | None:
        """Return why the canary must stop, None if it may go on.

        The numbers are tested once per `minimum_requests` answers of the canary. A canary whose
        answers are lost to shoppers, and the champion's are not, need not wait for that.
        """
        with self._lock:
            if self._overdue[True] >= MAXIMUM_OVERDUE and not self._overdue[False]:
                told = f"{self._overdue[True]} answers took more than {self._timeout:g} s"
                return Deterioration("latency", f"{told}, none of the champion's")
            number = int(self._tally.totals()[0][ANSWERS]) // self.rules.minimum_requests
            if number <= self._looks:
                return None
            self._looks = number
            level = level_of_look(number, self.rules.false_stop_probability)
            return self._tally.worse(level, maximum_slowdown=self.rules.maximum_slowdown)

    def progress(self) -> str:
        """Return where it stands, for people."""
        with self._lock:
            canary, champion = self._tally.totals()
        told = []
        for side, sums in (("canary", canary), ("champion", champion)):
            answers, errors, hits = (round(sums[column]) for column in (ANSWERS, ERRORS, HITS))
            told.append(f"{side}: {answers:,} answers, {errors:,} errors, {hits:,} hits")
        return "; ".join([*told, f"{self._looks} looks"])
