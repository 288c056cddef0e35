"""What people may be told about the items: names, kinds, and how many shoppers bought them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from sys import intern

import numpy as np
import pandas as pd

from pipeline.recommenders.base.histories import Floats, Histories
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.base.wall_clock import DAY

POPULAR_DAYS = 28
MINIMUM_BUYERS = 20


@dataclass(frozen=True)
class Catalogue:
    """What people may be told about each item; position = item index, 0 is unknown.

    Attributes:
        ids: [n_items + 1].
        titles: [n_items + 1], never empty for a known item.
        departments: [n_items + 1], or '' where it is not known.
        groups: [n_items + 1] category, or '' where it is not known.
        group_code: [n_items + 1] number of that category, 0 where it is not known.
        title_code: [n_items + 1] a number that items of the same title share, 0 where the item has
            no title of its own.
        n_shoppers: [n_items + 1] shoppers who bought it in the four weeks before `as_of`.
        again: [n_items + 1] share of its buyers who bought it more than once; 0 where they are
            too few to tell.
        as_of: The day up to which they are counted.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    departments: tuple[str, ...]
    groups: tuple[str, ...]
    group_code: Ints
    title_code: Ints
    n_shoppers: Ints
    again: Floats
    as_of: str


def build_catalogue(items: pd.DataFrame, histories: Histories, *, as_of: datetime) -> Catalogue:
    """Return what reasons need of the items.

    Args:
        items: item_id, title, category, type…; row i describes index i + 1.
        histories: All purchases before `as_of`.
        as_of: In the shop's time zone.
    """
    ids = items["item_id"].astype(str).tolist()
    own_titles = _texts(items, "title")
    names = zip(own_titles, _texts(items, "type"), ids, strict=True)
    titles = [title or kind or item_id for title, kind, item_id in names]
    recent = histories.time >= as_of.timestamp() - POPULAR_DAYS * DAY
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))
    n_items = len(ids) + 1
    pairs, n_times = np.unique(user * n_items + histories.item, return_counts=True)
    n_buyers = np.bincount(pairs % n_items, minlength=n_items)
    n_again = np.bincount(pairs[n_times > 1] % n_items, minlength=n_items)
    again = np.where(n_buyers >= MINIMUM_BUYERS, n_again / np.maximum(n_buyers, 1), 0.0)
    lately = np.unique(user[recent] * n_items + histories.item[recent])
    groups = ("", *_texts(items, "category"))
    return Catalogue(
        ids=("", *ids),
        titles=("", *titles),
        departments=("", *map(intern, _texts(items, "department"))),
        groups=groups,
        group_code=_codes(groups),
        title_code=_codes(["", *map(str.casefold, own_titles)]),
        n_shoppers=np.bincount(lately % n_items, minlength=n_items).astype(np.int32),
        again=again.astype(np.float32),
        as_of=as_of.date().isoformat(),
    )


def _codes(names: Sequence[str]) -> Ints:
    """Return a number per name, equal for equal ones, 0 for ''."""
    code = {name: at for at, name in enumerate(sorted({"", *names}))}
    return np.array([code[name] for name in names], dtype=np.int32)


def _texts(items: pd.DataFrame, column: str) -> list[str]:
    return [value.strip() if isinstance(value, str) else "" for value in items[column]]
