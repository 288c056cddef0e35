"""Cache of model answers, one per user.

Most requests come from a user about whom nothing is new. An answer is valid until the user does
something, until an item ages out of the cart or the recently viewed items, until the hour ends, and
for some minutes at most: within them an age in days moves by less than a hundredth. The minutes
differ by user, so that users who came together do not all expire together.

The cache holds the model's ranked lists and the reasons. Availability, exclusions, diversity and
exploration apply anew to every answer.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32

from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.base.recommender import Ranked, Why
from pipeline.serving.payloads import RecommendRequest
from pipeline.serving.user_state.request_builder import RequestContext

MINUTE = 60.0


class CachePolicy(Enum):
    """Where an answer may come from."""

    EITHER = "the cache, else the model"
    CACHE_ONLY = "the cache"
    MODEL_ONLY = "the model"


class NotCachedError(Exception):
    """The policy is CACHE_ONLY and the cache has no valid answer."""


@dataclass(frozen=True)
class CachedAnswer:
    """One call of the model for one user.

    Attributes:
        query: The request.
        context: The user's context at the time of the request.
        width: Maximum length of each ranked list.
        ranked: Ranked lists of a batch of one.
        why: Explains selected items of the lists.
        reasons: Reasons built so far, by position in the concatenated lists.
    """

    query: RecommendRequest
    context: RequestContext
    width: int
    ranked: Ranked
    why: Why
    reasons: dict[int, list[str]] = field(default_factory=dict)


class AnswerCache:
    """The last answer of each user; least recently used users are evicted."""

    def __init__(self, *, minutes: float, maximum_users: int) -> None:
        """Start empty.

        Args:
            minutes: Maximum age of an answer; 0 disables the cache.
            maximum_users: Number of users with a cached answer, at least 1.
        """
        self._seconds = minutes * MINUTE
        self._maximum_users = maximum_users
        self._answers: OrderedDict[str, CachedAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of users with a cached answer."""
        return len(self._answers)

    def get(self, context: RequestContext, width: int) -> CachedAnswer | None:
        """Return the valid answer for this context, or None.

        Args:
            context: The user's context now.
            width: Minimum width of the cached lists.
        """
        with self._lock:
            cached = self._answers.get(context.user_id)
            if cached is None or cached.width < width or not self._is_valid(cached, context):
                return None
            self._answers.move_to_end(context.user_id)
        return cached

    def put(self, answer: CachedAnswer) -> None:
        """Store an answer in place of the user's previous one.

        Answers to requests that set `at` are not stored, because they are not about now.
        """
        if self._seconds <= 0 or answer.query.at is not None:
            return
        with self._lock:
            self._answers[answer.context.user_id] = answer
            self._answers.move_to_end(answer.context.user_id)
            if len(self._answers) > self._maximum_users:
                self._answers.popitem(last=False)

    def last_queries(self, user_ids: Iterable[str]) -> list[RecommendRequest]:
        """Return the last request of each of these users who has a cached answer."""
        with self._lock:
            answers = [self._answers.get(user_id) for user_id in user_ids]
        return [cached.query for cached in answers if cached is not None]

    def drop(self, suppressed: SuppressionList) -> None:
        """Remove the answers of suppressed users."""
        with self._lock:
            for user_id in suppressed.of(list(self._answers)):
                del self._answers[user_id]

    def _is_valid(self, cached: CachedAnswer, now: RequestContext) -> bool:
        age = now.moment - cached.context.moment
        maximum_age = self._seconds * _lifetime_fraction(now.user_id)
        return 0 <= age <= maximum_age and cached.context.with_moment(now.moment) == now


def _lifetime_fraction(user_id: str) -> float:
    """Return the user's fraction of the maximum age, in [0.5, 1)."""
    return 0.5 + 0.5 * crc32(user_id.encode()) / 2**32
