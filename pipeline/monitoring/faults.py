"""Faults put into a copy of production on purpose, to see that each is found and its cause named.

Each takes values and returns new ones; what lies before `as_of` stays as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from pipeline.monitoring.observe import ProductionTables
from pipeline.monitoring.replay import Replies
from pipeline.recommenders.base.recommender import Recommendations


def shifted_clock(tables: ProductionTables, start: datetime, hours: float) -> ProductionTables:
    """Return the tables with production's clock wrong by `hours`."""
    by = pd.Timedelta(timedelta(hours=hours))
    return _changed(tables, start, lambda frame: frame.assign(timestamp=frame["timestamp"] + by))


def scaled_prices(tables: ProductionTables, start: datetime, factor: float) -> ProductionTables:
    """Return the tables with production's prices in another unit."""
    events = _after(tables.events, start, lambda e: e.assign(price=e["price"] * factor))
    return replace(tables, events=events)


def renamed_items(tables: ProductionTables, start: datetime, every: int) -> ProductionTables:
    """Return the tables with every `every`-th item of production under an id nobody knows."""
    names = np.sort(tables.events["item_id"].unique())[::every]
    renamed = {name: f"renamed-{name}" for name in names}

    def in_events(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(item_id=frame["item_id"].map(lambda name: renamed.get(name, name)))

    def in_labels(frame: pd.DataFrame) -> pd.DataFrame:
        labels = [[renamed.get(name, name) for name in each] for each in frame["labels"]]
        return frame.assign(labels=pd.Series(labels, index=frame.index, dtype=object))

    return replace(
        tables,
        events=_after(tables.events, start, in_events),
        examples=_after(tables.examples, start, in_labels),
    )


def mixed_up_users(tables: ProductionTables, start: datetime, seed: int) -> ProductionTables:
    """Return the tables with production's user ids dealt out anew."""
    users = np.sort(tables.events.loc[tables.events["timestamp"] >= start, "user_id"].unique())
    dealt = dict(zip(users, np.random.default_rng(seed).permutation(users), strict=True))
    return _changed(
        tables, start, lambda frame: frame.assign(user_id=frame["user_id"].map(dealt.get))
    )


def misjoined_labels(tables: ProductionTables, start: datetime, seed: int) -> ProductionTables:
    """Return the tables with production's labels joined to the wrong requests."""

    def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
        order = np.random.default_rng(seed).permutation(len(frame))
        return frame.assign(labels=frame["labels"].to_numpy(dtype=object)[order])

    return replace(tables, examples=_after(tables.examples, start, shuffled))


def lost_baskets(tables: ProductionTables, start: datetime, kept_of: int) -> ProductionTables:
    """Return the tables with one basket in `kept_of`; the rest never arrived."""
    return replace(
        tables, examples=_after(tables.examples, start, lambda frame: frame.iloc[::kept_of])
    )


def random_answers(replies: Replies, n_items: int, seed: int) -> Replies:
    """Return replies of a damaged model: random items in the same places, random scores.

    Args:
        replies: Of a sound model.
        n_items: Size of the vocabulary, the place for unknown ids included.
        seed: Of the damage.
    """
    random = np.random.default_rng(seed)
    served = replies.served
    there = served.items > 0
    items = random.integers(1, n_items, served.items.shape, dtype=np.int32)
    scores = random.normal(size=served.scores.shape).astype(np.float32)
    damaged = Recommendations(
        items=np.where(there, items, 0).astype(np.int32),
        scores=np.where(there, scores, 0).astype(np.float32),
        slots=served.slots,
    )
    return replace(replies, served=damaged)


def _changed(
    tables: ProductionTables, start: datetime, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> ProductionTables:
    """Return the tables with events and examples from `start` on changed."""
    return replace(
        tables,
        events=_after(tables.events, start, change),
        examples=_after(tables.examples, start, change),
    )


def _after(
    frame: pd.DataFrame, start: datetime, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    is_later = frame["timestamp"] >= start
    return pd.concat([frame[~is_later], change(frame[is_later])], ignore_index=True)
