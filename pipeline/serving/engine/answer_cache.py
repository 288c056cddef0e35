"""What the model said of shoppers, for as long as it would hardly say anything else.

Most pages ask about somebody of whom nothing is new. What the model said of a shopper is kept until
they do something, until what they have in the cart or just looked at has aged out, until the hour
is over, and for some minutes at most: within them an age in days moves by less than a hundredth.
For how many depends on the shopper: those who came together do not all need the model together.
Only the model's lists and the reasons are kept. What cannot be bought, what a request leaves out,
how alike items may be and chance count anew in every answer.
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

    EITHER = "what is kept, or the model"
    KEPT = "what is kept"
    MODEL = "the model"


class NotCachedError(Exception):
    """Only what is kept was wanted, and the model would have to be asked."""


@dataclass(frozen=True)
class CachedAnswer:
    """What the model said.

    Attributes:
        query: What was asked.
        situation: Of the shopper then.
        width: How long its lists may be.
        ranked: The lists, of one request.
        why: Explains what is chosen of them.
        reasons: Those told so far, by place in the lists side by side.
    """

    query: RecommendRequest
    situation: RequestContext
    width: int
    ranked: Ranked
    why: Why
    reasons: dict[int, list[str]] = field(default_factory=dict)


class AnswerCache:
    """What was said last of each shopper; of many shoppers those who were asked about last."""

    def __init__(self, *, minutes: float, shoppers: int) -> None:
        """Keep nothing yet.

        Args:
            minutes: How long at most; 0 for not at all.
            shoppers: Of how many.
        """
        self._seconds = minutes * MINUTE
        self._shoppers = shoppers
        self._said: OrderedDict[str, CachedAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return of how many shoppers something is kept."""
        return len(self._said)

    def find(self, situation: RequestContext, width: int) -> CachedAnswer | None:
        """Return what was said of the same situation a moment ago, None if there is no such.

        Args:
            situation: Of the shopper now.
            width: How long the lists must be allowed to be, at least.
        """
        with self._lock:
            said = self._said.get(situation.user_id)
            if said is not None and not (said.width >= width and self._holds(said, situation)):
                said = None
            if said is not None:
                self._said.move_to_end(situation.user_id)
        return said

    def put(self, said: CachedAnswer) -> None:
        """Keep what was said of a shopper, instead of what was said before.

        A moment that the request itself names is not now: what was said of it is not kept.
        """
        if self._seconds <= 0 or said.query.at is not None:
            return
        with self._lock:
            self._said[said.situation.user_id] = said
            self._said.move_to_end(said.situation.user_id)
            if len(self._said) > self._shoppers:
                self._said.popitem(last=False)

    def asked(self, user_ids: Iterable[str]) -> list[RecommendRequest]:
        """Return what was last asked of those shoppers of whom something is kept."""
        with self._lock:
            found = [self._said.get(user_id) for user_id in user_ids]
        return [said.query for said in found if said is not None]

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose what was said of some people."""
        with self._lock:
            for user_id in forgotten.of(list(self._said)):
                del self._said[user_id]

    def _holds(self, said: CachedAnswer, now: RequestContext) -> bool:
        passed = now.moment - said.situation.moment
        longest = self._seconds * _share(now.user_id)
        return 0 <= passed <= longest and said.situation.at(now.moment) == now


def _share(user_id: str) -> float:
    """Return for which part of the time something holds of a shopper: half of it, to all of it."""
    return 0.5 + 0.5 * crc32(user_id.encode()) / 2**32
