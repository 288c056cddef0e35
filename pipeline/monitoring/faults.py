"""Deliberate faults in a copy of production, to test that monitoring detects and explains each.

Each function returns new values; data before `as_of` are unchanged.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from pipeline.monitoring.observe import ProductionTables
from pipeline.monitoring.replay import Replies
from pipeline.recommenders.base.recommender import Recommendations


def shift_clock(tables: ProductionTables, start: datetime, hours: float) -> ProductionTables:
    """Return the tables with production's clock wrong by `hours`."""
    by = pd.Timedelta(timedelta(hours=hours))
    return _change(tables, start, lambda frame: frame.assign(timestamp=frame["timestamp"] + by))


def scale_prices(tables: ProductionTables, start: datetime, factor: float) -> ProductionTables:
    """Return the tables with production's prices in another unit."""
    events = _after(tables.events, start, lambda e: e.assign(price=e["price"] * factor))
    return replace(tables, events=events)


def rename_items(tables: ProductionTables, start: datetime, every: int) -> ProductionTables:
    """Return the tables with every `every`-th item of production under an unknown id."""
    names = np.sort(tables.events["item_id"].unique())[::every]
    renamed = {name: f"renamed-{name}" for name in names}

    def in_events(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(item_id=frame["item_id"].map(lambda name: renamed.get(name, name)))

    def in_labels(frame: pd.DataFrame) -> pd.DataFrame:
        labels = [[renamed.get(name, name) for name in basket] for basket in frame["labels"]]
        return frame.assign(labels=pd.Series(labels, index=frame.index, dtype=object))

    return replace(
        tables,
        events=_after(tables.events, start, in_events),
        examples=_after(tables.examples, start, in_labels),
    )


def mix_up_users(tables: ProductionTables, start: datetime, seed: int) -> ProductionTables:
    """Return the tables with production's user ids permuted."""
    users = np.sort(tables.events.loc[tables.events["timestamp"] >= start, "user_id"].unique())
    permuted = dict(zip(users, np.random.default_rng(seed).permutation(users), strict=True))
    return _change(
        tables, start, lambda frame: frame.assign(user_id=frame["user_id"].map(permuted.get))
    )


def misjoin_labels(tables: ProductionTables, start: datetime, seed: int) -> ProductionTables:
    """Return the tables with production's labels joined to the wrong requests."""

    def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
        order = np.random.default_rng(seed).permutation(len(frame))
        return frame.assign(labels=frame["labels"].to_numpy(dtype=object)[order])

    return replace(tables, examples=_after(tables.examples, start, shuffled))


def drop_baskets(tables: ProductionTables, start: datetime, kept_of: int) -> ProductionTables:
    """Return the tables with one basket in `kept_of`; the others are missing."""
    return replace(
        tables, examples=_after(tables.examples, start, lambda frame: frame.iloc[::kept_of])
    )


def randomise_answers(replies: Replies, n_items: int, seed: int) -> Replies:
    """Return replies of a damaged model: random items and random scores.

    Args:
        replies: Replies of an intact model.
        n_items: Size of the vocabulary, including the index of unknown ids.
        seed: Seed of the random values.
    """
    random = np.random.default_rng(seed)
    served = replies.served
    is_filled = served.items > 0
    items = random.integers(1, n_items, served.items.shape, dtype=np.int32)
    scores = random.normal(size=served.scores.shape).astype(np.float32)
    damaged = Recommendations(
        items=np.where(is_filled, items, 0).astype(np.int32),
        scores=np.where(is_filled, scores, 0).astype(np.float32),
        slots=served.slots,
    )
    return replace(replies, served=damaged)


def _change(
    tables: ProductionTables, start: datetime, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> ProductionTables:
    """Return the tables with a change to events and examples from `start` on."""
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
