"""The part of a model bundle that serving uses."""

from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.recommender import Recommender


class ModelBundle(Protocol):
    """The part of `pipeline.bundles.bundle.Bundle` that serving uses."""

    @property
    def manifest(self) -> dict[str, Any]:
        """Version, model, as_of and timezone."""
        ...

    @property
    def recommender(self) -> Recommender:
        """The fitted recommender."""
        ...

    @property
    def histories(self) -> Histories:
        """All purchases before as_of."""
        ...

    @property
    def attributes(self) -> pd.DataFrame:
        """User attribute codes, indexed by user_id."""
        ...

    @property
    def items(self) -> pd.DataFrame:
        """Titles and categories of the items."""
        ...


def as_of_moment(manifest: dict[str, Any]) -> datetime:
    """Return the bundle's `as_of` in the shop's time zone: the end of its data, exclusive.

    >>> as_of_moment({"as_of": "2017-12-04", "timezone": "America/New_York"}).isoformat()
    '2017-12-04T00:00:00-05:00'
    >>> as_of_moment({"as_of": "2017-12-04T05:00:00+00:00", "timezone": "UTC"}).isoformat()
    '2017-12-04T05:00:00+00:00'
    """
    moment = datetime.fromisoformat(str(manifest["as_of"]))
    zone = zone_of(manifest)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def zone_of(manifest: dict[str, Any]) -> ZoneInfo:
    """Return the time zone of the bundle's shop."""
    return ZoneInfo(str(manifest["timezone"]))
