"""Event files as shops with one held-out item per shopper, the way papers split them.

Leave-one-out has no common moment, and a `TrainingData` needs one. So each user's events are put on
the days counted back from their last: the last item of every user falls on one day (test), the one
before it on the day before (validation). Order is all that is kept of time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.contracts.errors import SourceError
from pipeline.recommenders.base.training_data import TrainingData, build_training_data

COLUMNS = ("user_id", "item_id", "timestamp")
LAST_DAY = pd.Timestamp("2020-01-01", tz="UTC")
DAY = pd.Timedelta(days=1)
TRAIN_EXAMPLES = 5
QUANTILES = (0.8, 0.9)


@dataclass(frozen=True)
class Split:
    """A shop, and what is asked of it.

    Attributes:
        shop: What may be known before the test window; `validation` lies before that window.
        events: All, in the contract's columns; histories up to a test request come from here.
        test: Examples, one wanted item each.
        n_cold: Test shoppers that were left out, since they have no history.
    """

    shop: TrainingData
    events: pd.DataFrame
    test: pd.DataFrame
    n_cold: int


def read_events(path: Path) -> pd.DataFrame:
    """Return the purchases in a Parquet or CSV file: user_id, item_id and timestamp, in order.

    Numbers as timestamps are seconds since 1970. Where there is an event_type, other events than
    purchases are left out.

    Raises:
        SourceError: The file cannot be read, misses a column, or holds no purchase.
    """
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"a Parquet or CSV file of events at '{path}'",
            received=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            action="Name a file whose name ends in .parquet or .csv.",
        ) from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise SourceError(
            f"the columns {', '.join(COLUMNS)} in '{path}'",
            received=f"{', '.join(map(str, frame.columns))} (missing: {', '.join(missing)})",
            action="Rename the file's columns to the contract's.",
        )
    if "event_type" in frame.columns:
        frame = frame[frame["event_type"] == "purchase"]
    found = frame[list(COLUMNS)].dropna().assign(timestamp=lambda f: _moments(f["timestamp"], path))
    if found.empty:
        raise SourceError(
            f"purchases in '{path}'",
            received="none",
            action="Give a file with events, of event_type 'purchase' where it has that column.",
        )
    ids = {name: found[name].astype(str) for name in ("user_id", "item_id")}
    return found.assign(**ids).sort_values(["user_id", "timestamp"], kind="stable")


def _moments(column: pd.Series, path: Path) -> pd.Series:
    unit: Any = "s" if pd.api.types.is_numeric_dtype(column) else None
    try:
        return pd.to_datetime(column, unit=unit, utc=True).dt.as_unit("us")
    except (ValueError, TypeError) as error:
        raise SourceError(
            f"moments or seconds since 1970 in the column 'timestamp' of '{path}'",
            received=str(error).splitlines()[0],
            action="Convert the column.",
        ) from error


def core(events: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """Return the events of users and items that keep at least `minimum` of them."""
    while True:
        counts = [events.groupby(n)[n].transform("size") for n in ("user_id", "item_id")]
        kept = (counts[0] >= minimum) & (counts[1] >= minimum)
        if kept.all():
            return events
        events = events[kept]


def leave_one_out(events: pd.DataFrame) -> Split:
    """Hold out the last item of each user with three or more; the one before is for validation.

    Raises:
        SourceError: No user has three events.
    """
    from_end = events.groupby("user_id").cumcount(ascending=False)
    size = events.groupby("user_id")["item_id"].transform("size")
    day = from_end + np.where(size >= 3, 0, 2)  # noqa: PLR2004  train, validation, test
    timed = events.assign(timestamp=LAST_DAY - pd.to_timedelta(day, unit="D"))
    return _split(timed, LAST_DAY - DAY, LAST_DAY, every=False)


def temporal(events: pd.DataFrame, *, every: bool) -> Split:
    """Split at the moments before which 80 % and 90 % of all events lie.

    Args:
        events: From `read_events`.
        every: Whether all events after the split are asked for, each from the history up to it,
            or only each user's first.

    Raises:
        SourceError: A part is empty.
    """
    seconds = events["timestamp"].astype("int64")
    opens, closes = (
        pd.Timestamp(int(seconds.quantile(q, interpolation="higher")), unit="us", tz="UTC")
        for q in QUANTILES
    )
    return _split(events, opens, closes, every=every)


def _split(timed: pd.DataFrame, opens: pd.Timestamp, closes: pd.Timestamp, *, every: bool) -> Split:
    events = timed.reset_index(drop=True)
    events = events.assign(
        event_type="purchase", quantity=1.0, price=0.0, basket_id=events.index.astype(str)
    )
    moment = events["timestamp"]
    parts = {
        "train": events[moment < opens].groupby("user_id").tail(TRAIN_EXAMPLES),
        "validation": events[(moment >= opens) & (moment < closes)],
        "test": events[moment >= closes],
    }
    if not every:
        parts |= {n: parts[n].groupby("user_id").head(1) for n in ("validation", "test")}
    first = moment.groupby(events["user_id"]).min()
    asked = {}
    for name, part in parts.items():
        cutoff = {"train": opens - DAY, "validation": opens, "test": closes}[name]
        warm = part["timestamp"] > part["user_id"].map(first)
        asked[name] = _examples(part[warm], name, cutoff)
        _check_some(asked[name], name)
    shop = build_training_data(
        cutoff=closes,
        timezone="UTC",
        events=events,
        items=_items(events),
        users=pd.DataFrame({"user_id": pd.Series([], dtype=str)}),
        offers=_no_offers(),
        train=asked["train"],
        validation=asked["validation"],
    )
    return Split(shop, events, asked["test"], len(parts["test"]) - len(asked["test"]))


def _check_some(examples: pd.DataFrame, name: str) -> None:
    if examples.empty:
        raise SourceError(
            f"users with a history and an item to find in the {name} part",
            received="none",
            action="Give more events, or use the other protocol.",
        )


def _examples(part: pd.DataFrame, split: str, cutoff: pd.Timestamp) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "split": split,
            "protocol": "rolling",
            "cutoff": cutoff,
            "user_id": part["user_id"].to_numpy(),
            "timestamp": part["timestamp"].to_numpy(),
            "n_earlier_baskets": 1,
            "cart": [[] for _ in range(len(part))],
            "labels": [[item] for item in part["item_id"]],
            "relevance": [[1.0]] * len(part),
        }
    ).astype({"timestamp": part["timestamp"].dtype})


def _items(events: pd.DataFrame) -> pd.DataFrame:
    ids = np.sort(events["item_id"].unique())
    classes = dict.fromkeys(("title", "department", "category", "type", "brand"))
    return pd.DataFrame({"item_id": ids, **classes})


def _no_offers() -> pd.DataFrame:
    moments = pd.Series([], dtype="datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "item_id": pd.Series([], dtype=str),
            "starts": moments,
            "ends": moments,
            "kind": pd.Series([], dtype=str),
            "store_fraction": pd.Series([], dtype=float),
            "audience": pd.Series([], dtype=str),
            "audience_fraction": pd.Series([], dtype=float),
        }
    )


@dataclass(frozen=True)
class Shape:
    """How large a synthetic data set is."""

    n_users: int
    n_items: int
    n_events: int
    shortest: int


SHAPES = {
    "movielens-1m": Shape(6_040, 3_416, 1_000_000, 20),
    "beauty": Shape(22_363, 12_101, 198_500, 5),
}
N_FOLLOWERS = 4
FOLLOW = 0.5


def synthetic(shape: Shape, seed: int = 0) -> pd.DataFrame:
    """Return events of about that shape: walks in which some items follow others.

    With probability 0.5 an event is one of four items that follow the last one; else it is drawn
    from the user's own part of the catalogue, with Zipf's weights. No user gets an item twice.
    """
    random = np.random.default_rng(seed)
    mean = shape.n_events / shape.n_users - shape.shortest
    length = shape.shortest + random.exponential(max(mean, 1.0), shape.n_users).astype(int)
    length = np.minimum(length, shape.n_items // 4)
    followers = random.integers(0, shape.n_items, size=(shape.n_items, N_FOLLOWERS))
    home = random.integers(0, shape.n_items, size=shape.n_users)
    weight = 1.0 / np.arange(1, shape.n_items + 1) ** 0.8
    upper = np.cumsum(weight / weight.sum())
    seen = np.zeros((shape.n_users, shape.n_items), dtype=bool)
    item = home.copy()
    got = np.zeros(shape.n_users, dtype=int)
    rows = []
    while (active := np.flatnonzero(got < length)).size:
        follows = random.random(active.size) < FOLLOW
        drawn = np.searchsorted(upper, random.random(active.size))
        fresh = (home[active] + np.minimum(drawn, shape.n_items - 1)) % shape.n_items
        place = random.integers(0, N_FOLLOWERS, active.size)
        chosen = np.where(follows, followers[item[active], place], fresh)
        new = ~seen[active, chosen]
        users, items = active[new], chosen[new]
        seen[users, items] = True
        item[users] = items
        rows.append(np.stack([users, items, got[users]]))
        got[users] += 1
    user, bought, number = np.concatenate(rows, axis=1)
    begins = random.integers(0, 300 * 86_400, size=shape.n_users)
    frame = pd.DataFrame(
        {
            "user_id": "u" + pd.Series(user).astype(str),
            "item_id": "i" + pd.Series(bought).astype(str),
            "timestamp": pd.to_datetime(begins[user] + 3_600 * number, unit="s", utc=True),
        }
    )
    frame["timestamp"] = frame["timestamp"].dt.as_unit("us")
    return frame.sort_values(["user_id", "timestamp"], kind="stable")
