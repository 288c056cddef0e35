"""The period of a service that is judged."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.contracts.params import Params


@dataclass(frozen=True)
class Period:
    """A period of a service.

    Attributes:
        since: First moment.
        until: First moment after the period.
        known_at: What the store received later is ignored.
    """

    since: datetime
    until: datetime
    known_at: datetime


def latest_period(params: Params, now: datetime) -> Period:
    """Return the last `replay_days` whole days of the shop before `now`, from `as_of` on.

    Args:
        params: Time zone, `as_of` and the number of days.
        now: The current moment.
    """
    today = now.astimezone(ZoneInfo(params.shop.timezone)).date()
    since = max(today - timedelta(days=params.monitoring.replay_days), params.shop.as_of)
    return Period(params.shop.midnight(since), params.shop.midnight(today), now)
