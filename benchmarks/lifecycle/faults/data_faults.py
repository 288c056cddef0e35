"""Faults of the source's data: each returns the tables with production damaged from a day on.

What labeling wrote is damaged alike, since it read the same source. The injectors know nothing of
the diagnosis: a contract test keeps both apart.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.monitoring.observe import ProductionTables

Mask = npt.NDArray[np.bool_]
Frames = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Shop:
    """The tables that a fault damages.

    Attributes:
        tables: The sound tables.
        start: First moment of production, UTC.
        days: Days of production.
        seed: Seed of every random choice.
    """

    tables: ProductionTables
    start: pd.Timestamp
    days: int
    seed: int

    @cached_property
    def now(self) -> pd.DataFrame:
        """The events of production."""
        return self.tables.events[self.tables.events["timestamp"] >= self.start]

    @cached_property
    def random(self) -> np.random.Generator:
        """The generator of this fault's random choices."""
        return np.random.default_rng(self.seed)

    @cached_property
    def store(self) -> str:
        """One of the twenty stores that sell most."""
        stores = self.now["store_id"].value_counts().index[:20]
        return str(stores[int(self.random.integers(len(stores)))])

    def day(self, share: float) -> pd.Timestamp:
        """Return the day after this share of production."""
        return self.start + pd.Timedelta(days=round(share * self.days))

    def between(self, frame: pd.DataFrame, first: float, n_days: int) -> Mask:
        """Return the rows of the `n_days` days after a share of production."""
        start = self.day(first)
        moments = frame["timestamp"]
        return np.array((moments >= start) & (moments < start + pd.Timedelta(days=n_days)))

    def change(self, events: Frames, examples: Frames | None = None) -> ProductionTables:
        """Return the tables with other events and examples of production."""
        return replace(
            self.tables,
            events=self._after(self.tables.events, events),
            examples=self._after(self.tables.examples, events if examples is None else examples),
        )

    def _after(self, frame: pd.DataFrame, change: Frames) -> pd.DataFrame:
        is_later = frame["timestamp"] >= self.start
        changed = change(frame[is_later])
        return pd.concat([frame[~is_later], changed], ignore_index=True)


def same(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame."""
    return frame


def scale_prices(
    shop: Shop, factor: float, since: float = 0.0, *, one_store: bool = False
) -> ProductionTables:
    """Prices in another unit or currency."""

    def scale(events: pd.DataFrame) -> pd.DataFrame:
        chosen = np.array(events["timestamp"] >= shop.day(since))
        if one_store:
            chosen &= np.asarray(events["store_id"] == shop.store)
        return events.assign(price=events["price"] * np.where(chosen, factor, 1.0))

    return shop.change(scale, same)


def shift_clock(
    shop: Shop, hours: float, since: float = 0.0, *, one_store: bool = False
) -> ProductionTables:
    """A clock or a time zone that is wrong by some hours."""

    def shift(frame: pd.DataFrame) -> pd.DataFrame:
        chosen = np.array(frame["timestamp"] >= shop.day(since))
        if one_store:
            chosen &= np.asarray(frame["store_id"] == shop.store)
        moved = pd.to_timedelta(np.where(chosen, hours, 0.0), unit="h")
        return frame.assign(timestamp=frame["timestamp"] + moved)

    return shop.change(shift)


def drop_days(
    shop: Shop, n_days: int, first: float = 0.4, *, one_store: bool = False
) -> ProductionTables:
    """A partition of some days that is missing."""

    def drop(frame: pd.DataFrame) -> pd.DataFrame:
        chosen = shop.between(frame, first, n_days)
        if one_store:
            chosen &= np.asarray(frame["store_id"] == shop.store)
        return frame[~chosen]

    return shop.change(drop)


def delay_data(shop: Shop, n_days: int) -> ProductionTables:
    """The newest days that have not arrived."""
    return shop.change(
        lambda frame: frame[~shop.between(frame, 1.0 - n_days / shop.days, n_days + 1)]
    )


def repeat_days(shop: Shop, n_days: int, *, new_baskets: bool = False) -> ProductionTables:
    """A partition of some days that was loaded twice."""

    def repeat(events: pd.DataFrame) -> pd.DataFrame:
        again = events[shop.between(events, 0.3, n_days)]
        if new_baskets:
            again = again.assign(basket_id="again-" + again["basket_id"])
        return pd.concat([events, again])

    return shop.change(repeat, same)


def damage_lines(
    shop: Shop, column: str, value: float, n_days: int, share: float
) -> ProductionTables:
    """Part of some days' lines with one value for a column."""

    def damage(events: pd.DataFrame) -> pd.DataFrame:
        chosen = shop.between(events, 0.5, n_days) & (shop.random.random(len(events)) < share)
        return events.assign(**{column: events[column].mask(chosen, value)})

    return shop.change(damage, same)


def add_bots(shop: Shop, n_bots: int, n_lines: int) -> ProductionTables:
    """Accounts that put random items into many baskets, day and night."""

    def add(events: pd.DataFrame) -> pd.DataFrame:
        n = n_bots * n_lines
        lines = events.iloc[shop.random.integers(len(events), size=n)]
        seconds = shop.random.integers(shop.days * 86_400, size=n)
        bot = np.arange(n) % n_bots
        return pd.concat(
            [
                events,
                lines.assign(
                    user_id=[f"bot-{number}" for number in bot],
                    timestamp=shop.start + pd.to_timedelta(seconds, unit="s"),
                    basket_id=[f"bot-{number}" for number in range(n)],
                ),
            ]
        ).sort_values("timestamp", kind="stable")

    return shop.change(add, same)


def rename_items(shop: Shop, names: Mapping[str, str]) -> ProductionTables:
    """Items under other ids."""

    def in_events(events: pd.DataFrame) -> pd.DataFrame:
        items = events["item_id"]
        return events.assign(item_id=items.map(names).fillna(items))

    def in_examples(examples: pd.DataFrame) -> pd.DataFrame:
        lists = {
            name: pd.Series(
                [[names.get(item, item) for item in row] for row in examples[name]],
                index=examples.index,
                dtype=object,
            )
            for name in ("labels", "cart")
        }
        return examples.assign(**lists)

    return shop.change(in_events, in_examples)


def prefix_items(shop: Shop, share: float) -> ProductionTables:
    """A share of the items with a prefix before their id."""
    return rename_items(shop, {name: f"SKU-{name}" for name in _choose_items(shop, share)})


def hash_items(shop: Shop, share: float) -> ProductionTables:
    """A share of the items under ids that nothing connects with the old ones."""
    names = _choose_items(shop, share)
    return rename_items(
        shop, {name: hashlib.sha256(name.encode()).hexdigest()[:10] for name in names}
    )


def swap_items(shop: Shop, department: str) -> ProductionTables:
    """A department whose item ids are permuted."""
    assert shop.tables.items is not None
    items = shop.tables.items
    inside = items.loc[items["department"] == department, "item_id"]
    names = np.sort(shop.now.loc[shop.now["item_id"].isin(inside), "item_id"].unique())
    return rename_items(shop, dict(zip(names, shop.random.permutation(names), strict=True)))


def _choose_items(shop: Shop, share: float) -> npt.NDArray[np.object_]:
    names = np.sort(shop.now["item_id"].unique())
    return np.asarray(shop.random.choice(names, round(share * len(names)), replace=False))


def permute_users(shop: Shop, share: float, *, one_store: bool = False) -> ProductionTables:
    """A share of the users whose ids are permuted."""
    rows = shop.now[shop.now["store_id"] == shop.store] if one_store else shop.now
    users = np.sort(rows["user_id"].unique())
    chosen = shop.random.choice(users, round(share * len(users)), replace=False)
    names = dict(zip(chosen, shop.random.permutation(chosen), strict=True))

    def rename(frame: pd.DataFrame) -> pd.DataFrame:
        users = frame["user_id"]
        renamed = users.map(names).fillna(users)
        inside = (
            frame["store_id"] == shop.store
            if one_store
            else pd.Series(data=True, index=frame.index)
        )
        return frame.assign(user_id=renamed.where(inside, users))

    return shop.change(rename)


def lose_baskets(shop: Shop, share: float) -> ProductionTables:
    """A share of the baskets that does not arrive."""
    baskets = np.sort(shop.now["basket_id"].unique())
    lost = set(shop.random.choice(baskets, round(share * len(baskets)), replace=False))
    return shop.change(lambda frame: frame[~frame["basket_id"].isin(lost)])


def lose_lines(shop: Shop, share: float) -> ProductionTables:
    """A share of the lines of every basket that does not arrive."""
    is_left = shop.random.random(len(shop.now)) >= share
    left = set(zip(shop.now["basket_id"][is_left], shop.now["item_id"][is_left], strict=True))

    def drop_labels(examples: pd.DataFrame) -> pd.DataFrame:
        labels = [
            [item for item in row if (basket, item) in left]
            for basket, row in zip(examples["basket_id"], examples["labels"], strict=True)
        ]
        kept = examples.assign(labels=pd.Series(labels, index=examples.index, dtype=object))
        return kept[kept["labels"].map(len) > 0]

    return shop.change(lambda events: events[is_left], drop_labels)


def misjoin_labels(shop: Shop, share: float) -> ProductionTables:
    """A share of the examples with the labels of another one."""

    def misjoin(examples: pd.DataFrame) -> pd.DataFrame:
        rows = shop.random.choice(len(examples), round(share * len(examples)), replace=False)
        labels = examples["labels"].to_numpy(dtype=object, copy=True)
        labels[rows] = labels[shop.random.permutation(rows)]
        return examples.assign(labels=pd.Series(labels, index=examples.index, dtype=object))

    return shop.change(same, misjoin)


def add_label_noise(shop: Shop, share: float) -> ProductionTables:
    """A share of the labels replaced by random items."""
    items = shop.now["item_id"].unique()

    def add(examples: pd.DataFrame) -> pd.DataFrame:
        labels = [
            [
                str(shop.random.choice(items)) if shop.random.random() < share else item
                for item in row
            ]
            for row in examples["labels"]
        ]
        return examples.assign(labels=pd.Series(labels, index=examples.index, dtype=object))

    return shop.change(same, add)


def drop_labels(shop: Shop, share: float) -> ProductionTables:
    """A share of the bought items that are no labels, as under a wrong policy."""

    def drop(examples: pd.DataFrame) -> pd.DataFrame:
        labels = [
            [item for item in row if shop.random.random() >= share] or list(row[:1])
            for row in examples["labels"]
        ]
        return examples.assign(labels=pd.Series(labels, index=examples.index, dtype=object))

    return shop.change(same, drop)
