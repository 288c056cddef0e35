"""One user's request, from the bundle's histories and the events since.

The bundle has all purchases before its `as_of`. Later events are in memory, read from the event
store at start-up and extended with every stored event. The result equals that of `build_requests`
on histories of all events, without building those.
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
from pipeline.serving.user_state.recent_events import (
    PastEvents,
    RecentEvents,
    items_in_cart,
    items_viewed,
    unique_known_items,
)

HOUR = 3_600.0
MINUTE = 60.0
TICK = 1e-6


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Everything that the model's answer to one user depends on.

    Attributes:
        user_id: Id of the user.
        moment: Time of the request, in seconds since 1970.
        weekday: 0 = Monday, in the shop's time zone.
        hour: 0..23, in the shop's time zone.
        events: The user's events since the bundle's `as_of` and strictly before `moment`.
        cart: Item indices of the cart.
        viewed: Item indices of recently viewed items, the last first.
        store: Store code, 0 if unknown.
    """

    user_id: str
    moment: float
    weekday: int
    hour: int
    events: PastEvents
    cart: tuple[int, ...]
    viewed: tuple[int, ...]
    store: int

    def with_moment(self, moment: float) -> "RequestContext":
        """Return this context at another moment of the same hour."""
        return replace(self, moment=moment)


class RequestBuilder:
    """Builds the model's input for one user in well under a millisecond."""

    def __init__(
        self,
        histories: Histories,
        attributes: pd.DataFrame,
        recent_events: RecentEvents,
        *,
        timezone: str,
        cart_hours: float,
        viewed_minutes: float,
    ) -> None:
        """Compute what does not change between requests.

        Args:
            histories: All purchases before the bundle's `as_of`.
            attributes: Integer codes, indexed by user_id.
            recent_events: Events since the bundle's `as_of`.
            timezone: Time zone of the shop.
            cart_hours: Hours after which an item leaves the cart.
            viewed_minutes: Minutes for which a viewed item counts as recent.
        """
        self._histories = histories
        self._recent_events = recent_events
        self._zone = ZoneInfo(timezone)
        self._lines = UserLines(histories, timezone)
        self._cart_seconds = cart_hours * HOUR
        self._viewed_seconds = viewed_minutes * MINUTE
        self._codes = attributes.to_numpy(dtype=np.int32)
        self._rows = {str(name): row for row, name in enumerate(attributes.index)}
        self._unknown = np.zeros((1, self._codes.shape[1]), dtype=np.int32)

    def moment(self, user_id: str, now: float) -> float:
        """Return `now`, or just after the user's last event if that is later (clock skew)."""
        return max(now, self._recent_events.latest(user_id) + TICK)

    def is_known(self, user_id: str) -> bool:
        """Return whether the user is in the bundle or has events since `as_of`."""
        return self._histories.row(user_id) >= 0 or self._recent_events.latest(user_id) > -np.inf

    def known_user_ids(self) -> list[str]:
        """Return the ids of all known users, sorted."""
        return sorted({*self._histories.user_ids, *self._recent_events.user_ids()})

    def drop(self, suppressed: SuppressionList) -> None:
        """Remove the merged lines of suppressed users."""
        self._lines.drop(suppressed)

    def build_context(
        self,
        user_id: str,
        moment: float,
        *,
        cart: Sequence[int] = (),
        viewed: Sequence[int] = (),
        store_id: str | None = None,
    ) -> RequestContext:
        """Return the context of a request; only events strictly before `moment` count.

        Args:
            user_id: Id of the user; unknown users have no purchase lines.
            moment: Seconds since 1970.
            cart: Item indices of the request's cart; those of cart events follow.
            viewed: Item indices of the request's viewed items; those of view events follow.
            store_id: Id of the store in which the user shops.
        """
        events = self._recent_events.before(user_id, moment)
        local = datetime.fromtimestamp(moment, tz=UTC).astimezone(self._zone)
        return RequestContext(
            user_id=user_id,
            moment=moment,
            weekday=local.weekday(),
            hour=local.hour,
            events=events,
            cart=unique_known_items([*cart, *items_in_cart(events, moment - self._cart_seconds)]),
            viewed=unique_known_items(
                [*viewed, *items_viewed(events, moment - self._viewed_seconds)]
            ),
            store=self._histories.store_code(store_id),
        )

    def items_bought(self, context: RequestContext, hours: float) -> frozenset[int]:
        """Return the items that the user bought in the last `hours`."""
        if not hours:
            return frozenset()
        lines = self._lines.before(context.user_id, context.events, context.moment)
        recent = lines.time >= context.moment - hours * HOUR
        return frozenset(lines.item[recent].tolist()) if recent.any() else frozenset()

    def has_bought(self, context: RequestContext) -> bool:
        """Return whether the user is in the bundle or bought something since."""
        if self._histories.row(context.user_id) >= 0:
            return True
        return any(event.kind == "purchase" for event in context.events)

    def build(self, context: RequestContext) -> Requests:
        """Return the model's input: a batch of one."""
        user_id, moment = context.user_id, context.moment
        lines = self._lines.before(user_id, context.events, moment)
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
            cart_splits=np.array([0, len(context.cart)]),
            cart_item=np.array(context.cart, dtype=np.int32),
            viewed_splits=np.array([0, len(context.viewed)]),
            viewed_item=np.array(context.viewed, dtype=np.int32),
            time=np.array([moment]),
            time_known=np.ones(1, dtype=np.int32),
            at_store=np.array([context.store], dtype=np.int32),
            local_weekday=np.array([context.weekday], dtype=np.int32),
            local_hour=np.array([context.hour], dtype=np.int32),
            user_attributes=self._unknown if row is None else self._codes[row : row + 1],
        )
