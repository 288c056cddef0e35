"""One shopper's request, from the bundle's histories and what came in since.

The bundle knows all before its `as_of`. What happened later is kept in memory per shopper, loaded
from the event store at start-up and extended with every acknowledged event. A request is the
bundle's slice with the later lines put in: the same numbers that `build_requests` yields from
histories of all events, without building those.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.histories import Histories
from pipeline.recommenders.requests import Requests
from pipeline.recommenders.wall_clock import DAY
from pipeline.shelf.lines import ShopperLines
from pipeline.shelf.overlay import Overlay, cart_of, unique, viewed_of

HOUR = 3_600.0
MINUTE = 60.0
TICK = 1e-6


class RequestBuilder:
    """Builds one request in well under a millisecond."""

    def __init__(
        self,
        histories: Histories,
        attributes: pd.DataFrame,
        overlay: Overlay,
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
        self._lines = ShopperLines(histories, timezone)
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

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose what was worked out of the events of some people."""
        self._lines.drop(forgotten)

    def build(
        self,
        user_id: str,
        moment: float,
        *,
        cart: Sequence[int] = (),
        viewed: Sequence[int] = (),
        store_id: str | None = None,
    ) -> Requests:
        """Return the request of one shopper; only what is strictly before `moment` is in it.

        Args:
            user_id: Who; unknown ones get a request without lines.
            moment: Seconds since 1970.
            cart: Item indices, before those that cart events tell.
            viewed: Item indices, before those that view events tell.
            store_id: Where the shopper shops.
        """
        events = self._overlay.before(user_id, moment)
        lines = self._lines.of(user_id, events, moment)
        latest = int(lines.basket.max()) if len(lines) else 0
        in_cart = unique([*cart, *cart_of(events, moment - self._cart_seconds)])
        looked_at = unique([*viewed, *viewed_of(events, moment - self._viewed_seconds)])
        local = datetime.fromtimestamp(moment, tz=UTC).astimezone(self._zone)
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
            cart_splits=np.array([0, len(in_cart)]),
            cart_item=in_cart,
            viewed_splits=np.array([0, len(looked_at)]),
            viewed_item=looked_at,
            time=np.array([moment]),
            time_known=np.ones(1, dtype=np.int32),
            at_store=np.array([self._histories.store_code(store_id)], dtype=np.int32),
            local_weekday=np.array([local.weekday()], dtype=np.int32),
            local_hour=np.array([local.hour], dtype=np.int32),
            user_attributes=self._unknown if row is None else self._codes[row : row + 1],
        )
