"""Item catalogue: titles, categories and purchase statistics for answers and reasons."""

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
    """Item properties by item index; index 0 is the unknown item.

    Attributes:
        ids: [n_items + 1] item ids.
        titles: [n_items + 1] titles, never empty for a known item.
        departments: [n_items + 1] departments, '' if unknown.
        categories: [n_items + 1] categories, '' if unknown.
        category_code: [n_items + 1] code of the category, 0 if unknown.
        title_code: [n_items + 1] code of the title, equal for equal titles, 0 if the item has no
            title of its own.
        n_users: [n_items + 1] users who bought the item in the four weeks before `as_of`.
        repeat_fraction: [n_items + 1] fraction of its buyers who bought it more than once; 0 if
            there are fewer than MINIMUM_BUYERS.
        as_of: Last day of the statistics, exclusive, as YYYY-MM-DD.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    departments: tuple[str, ...]
    categories: tuple[str, ...]
    category_code: Ints
    title_code: Ints
    n_users: Ints
    repeat_fraction: Floats
    as_of: str


def build_catalogue(items: pd.DataFrame, histories: Histories, *, as_of: datetime) -> Catalogue:
    """Return the catalogue of a bundle.

    Args:
        items: Columns item_id, title, category, type and others; row i has item index i + 1.
        histories: All purchases before `as_of`.
        as_of: End of the histories, in the shop's time zone.
    """
    ids = items["item_id"].astype(str).tolist()
    own_titles = _strip_texts(items, "title")
    names = zip(own_titles, _strip_texts(items, "type"), ids, strict=True)
    titles = [title or kind or item_id for title, kind, item_id in names]
    recent = histories.time >= as_of.timestamp() - POPULAR_DAYS * DAY
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))
    n_items = len(ids) + 1
    pairs, n_times = np.unique(user * n_items + histories.item, return_counts=True)
    n_buyers = np.bincount(pairs % n_items, minlength=n_items)
    n_repeat_buyers = np.bincount(pairs[n_times > 1] % n_items, minlength=n_items)
    repeat_fraction = np.where(
        n_buyers >= MINIMUM_BUYERS, n_repeat_buyers / np.maximum(n_buyers, 1), 0.0
    )
    recent_pairs = np.unique(user[recent] * n_items + histories.item[recent])
    categories = ("", *_strip_texts(items, "category"))
    return Catalogue(
        ids=("", *ids),
        titles=("", *titles),
        departments=("", *map(intern, _strip_texts(items, "department"))),
        categories=categories,
        category_code=_encode_names(categories),
        title_code=_encode_names(["", *map(str.casefold, own_titles)]),
        n_users=np.bincount(recent_pairs % n_items, minlength=n_items).astype(np.int32),
        repeat_fraction=repeat_fraction.astype(np.float32),
        as_of=as_of.date().isoformat(),
    )


def _encode_names(names: Sequence[str]) -> Ints:
    """Return an integer code per name, 0 for ''."""
    code = {name: number for number, name in enumerate(sorted({"", *names}))}
    return np.array([code[name] for name in names], dtype=np.int32)


def _strip_texts(items: pd.DataFrame, column: str) -> list[str]:
    return [value.strip() if isinstance(value, str) else "" for value in items[column]]
