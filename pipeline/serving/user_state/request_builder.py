"""One shopper's request, from the bundle's histories and what came in since.

The bundle knows all before its `as_of`. What happened later is kept in memory per shopper, loaded
from the event store at start-up and extended with every acknowledged event. A request is the
bundle's slice with the later lines put in: the same numbers that `build_requests` yields from
histories of all events, without building those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.serving.user_state.purchase_lines import UserLines
from pipeline.serving.user_state.recent_events import Past, RecentEvents, cart_of, known, viewed_of

HOUR = 3_600.0
MINUTE = 60.0
TICK = 1e-6


@dataclass(frozen=True, slots=True)
class RequestContext:
    """All that a request of one shopper depends on.

    Attributes:
        user_id: Who.
        moment: When, in seconds since 1970.
        weekday: 0 = Monday, in the shop's time zone.
        hour: 0..23, in the shop's time zone.
        events: What they did since the bundle's `as_of` and strictly before `moment`.
        cart: Item indices.
        viewed: Item indices, the last first.
        store: Code of the store, 0 where it is not known.
    """

    user_id: str
    moment: float
    weekday: int
    hour: int
    events: Past
    cart: tuple[int, ...]
    viewed: tuple[int, ...]
    store: int

    def at(self, moment: float) -> "RequestContext":
        """Return the same at another moment of the same hour."""
        return replace(self, moment=moment)


class RequestBuilder:
    """Builds one request in well under a millisecond."""

    def __init__(
        self,
        histories: Histories,
        attributes: pd.DataFrame,
        overlay: RecentEvents,
        *,
        timezone: str,
        cart_hours: float,
        viewed_minutes: float,
    ) -> None:
        """Prepare what does not change between requests.

        Args:
            histories: All purchases before the bundle's `as_of`.
            attributes: Indexed by user_id, integer codes.
            overlay: What came in since.
            timezone: The shop's.
            cart_hours: How long an item stays in the cart without being bought.
            viewed_minutes: How long a look at an item counts as just now.
        """
        self._histories = histories
        self._overlay = overlay
        self._zone = ZoneInfo(timezone)
        self._lines = UserLines(histories, timezone)
        self._cart_seconds = cart_hours * HOUR
        self._viewed_seconds = viewed_minutes * MINUTE
        self._codes = attributes.to_numpy(dtype=np.int32)
        self._rows = {str(name): row for row, name in enumerate(attributes.index)}
        self._unknown = np.zeros((1, self._codes.shape[1]), dtype=np.int32)

    def moment(self, user_id: str, now: float) -> float:
        """Return `now`, or just after the shopper's last event if a clock was ahead of ours."""
        return max(now, self._overlay.latest(user_id) + TICK)

    def is_known(self, user_id: str) -> bool:
        """Tell whether the shopper ever bought anything, or did anything since `as_of`."""
        return self._histories.row(user_id) >= 0 or self._overlay.latest(user_id) > -np.inf

    def known_ids(self) -> list[str]:
        """Return all shoppers who are known, in the order of their ids."""
        return sorted({*self._histories.user_ids, *self._overlay.user_ids()})

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose what was worked out of the events of some people."""
        self._lines.drop(forgotten)

    def situation(
        self,
        user_id: str,
        moment: float,
        *,
        cart: Sequence[int] = (),
        viewed: Sequence[int] = (),
        store_id: str | None = None,
    ) -> RequestContext:
        """Return what a request depends on; only what is strictly before `moment` is in it.

        Args:
            user_id: Who; unknown ones get a request without lines.
            moment: Seconds since 1970.
            cart: Item indices, before those that cart events tell.
            viewed: Item indices, before those that view events tell.
            store_id: Where the shopper shops.
        """
        events = self._overlay.before(user_id, moment)
        local = datetime.fromtimestamp(moment, tz=UTC).astimezone(self._zone)
        return RequestContext(
            user_id=user_id,
            moment=moment,
            weekday=local.weekday(),
            hour=local.hour,
            events=events,
            cart=known([*cart, *cart_of(events, moment - self._cart_seconds)]),
            viewed=known([*viewed, *viewed_of(events, moment - self._viewed_seconds)]),
            store=self._histories.store_code(store_id),
        )

    def bought(self, situation: RequestContext, hours: float) -> frozenset[int]:
        """Return the items that the shopper bought in the last `hours`."""
        if not hours:
            return frozenset()
        lines = self._lines.of(situation.user_id, situation.events, situation.moment)
        recent = lines.time >= situation.moment - hours * HOUR
        return frozenset(lines.item[recent].tolist()) if recent.any() else frozenset()

    def has_bought(self, situation: RequestContext) -> bool:
        """Tell whether the shopper is in the bundle, or bought something since."""
        if self._histories.row(situation.user_id) >= 0:
            return True
        return any(event.kind == "purchase" for event in situation.events)

    def requests(self, situation: RequestContext) -> Requests:
        """Return the request of one shopper, a batch of one."""
        user_id, moment = situation.user_id, situation.moment
        lines = self._lines.of(user_id, situation.events, moment)
        latest = int(lines.basket.max()) if len(lines) else 0
        row = self._rows.get(user_id)
        return Requests(
            row_splits=np.array([0, len(lines)]),
            item=lines.item,
            age_days=((moment - lines.time) / DAY).astype(np.float32),
            baskets_ago=(latest - lines.basket).astype(np.int32),
            quantity=lines.quantity,
            price=lines.price,
            store=lines.store,
            hour_of_week=lines.hour_of_week,
            cart_splits=np.array([0, len(situation.cart)]),
            cart_item=np.array(situation.cart, dtype=np.int32),
            viewed_splits=np.array([0, len(situation.viewed)]),
            viewed_item=np.array(situation.viewed, dtype=np.int32),
            time=np.array([moment]),
            time_known=np.ones(1, dtype=np.int32),
            at_store=np.array([situation.store], dtype=np.int32),
            local_weekday=np.array([situation.weekday], dtype=np.int32),
            local_hour=np.array([situation.hour], dtype=np.int32),
            user_attributes=self._unknown if row is None else self._codes[row : row + 1],
        )
