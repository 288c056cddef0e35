"""Item ids have another form or another meaning: some items, or a department, are renamed.

New forms of known ids (case, padding, a prefix) are recognised by their text. Other ids are
recognised by who buys them and what they cost.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import methodcaller

import numpy as np
import pandas as pd

from pipeline.monitoring.diagnosis.affinity import compute_affinity
from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.corrections import append_renames, rename_items
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

# Unknown ids that a rule must lead back to known ones; a few may be alike by chance.
MINIMUM_RULE_IDS = 10
LONGEST_AFFIX = 8
# Log ratio of prices; the price of an item that keeps its id rarely moves more.
PRICE_MOVE = 0.7
PRICE_AGREES = 0.2
MINIMUM_LINES = 3
# An item that sold this many lines before and none in the window has vanished.
MINIMUM_SOLD = 10
FLOOR = 0.025


def measure_items(case: Case) -> float:
    """Return the share of lines whose item id changed its meaning.

    Either ids that sold well vanish and as many lines have unknown ones, of which half count since
    assortments change as well; or the prices of known ids have moved far.
    """
    if case.now.empty or case.before.empty:
        return 0.0
    items = case.now["item_id"]
    unknown = float((~items.isin(case.known_items)).mean())
    vanished = float(case.before["item_id"].isin(_find_vanished(case)).mean())
    return max(min(unknown, vanished) / 2, _measure_moved(case))


def _measure_moved(case: Case) -> float:
    """Return the share of the window's lines on items whose price moved far."""
    return float(case.now["item_id"].isin(_find_moved(case)).mean())


def _find_vanished(case: Case) -> pd.Index:
    """Return the items that sold well before the window and not at all in it."""
    sold = case.before["item_id"].value_counts()
    return sold.index[sold >= MINIMUM_SOLD].difference(pd.Index(case.now["item_id"].unique()))


def _find_moved(case: Case) -> pd.Index:
    """Return the items whose price moved far beyond the typical item's."""
    before, now = (_prices(events) for events in (case.before, case.now))
    move = pd.Series(np.log(now / before)).dropna()
    return move.index[(move - move.median()).abs() > PRICE_MOVE]


def _prices(events: pd.DataFrame) -> pd.Series:
    """Return the median price of each item with enough lines."""
    items = events[events["price"] > 0].groupby("item_id")["price"]
    return items.median()[items.size() >= MINIMUM_LINES]


@lru_cache(maxsize=4)
def match_items(case: Case) -> dict[str, str]:
    """Return the item that each renamed item of the window was before."""
    unknown = case.now.loc[~case.now["item_id"].isin(case.known_items), "item_id"].unique()
    return _match_by_form(sorted(unknown), case.known_items) or _match_by_buyers(case)


def _match_by_form(unknown: list[str], known: frozenset[str]) -> dict[str, str]:
    """Return the known id of unknown ones, by the first rule that explains enough of them."""
    folded = {name.casefold(): name for name in known}
    stripped = {name.lstrip("0"): name for name in known}
    rules: list[Callable[[str], str]] = [
        lambda name: folded.get(name.casefold(), name),
        lambda name: stripped.get(name.lstrip("0"), name),
        lambda name: name.removesuffix(".0"),
        lambda name: name.strip(),
        *(methodcaller("removeprefix", prefix) for prefix in _common(unknown, first=True)),
        *(methodcaller("removesuffix", suffix) for suffix in _common(unknown, first=False)),
    ]
    for rule in rules:
        names = {name: old for name in unknown if (old := rule(name)) != name and old in known}
        if len(set(names.values())) >= MINIMUM_RULE_IDS:
            return names
    return {}


def _common(names: list[str], *, first: bool) -> Iterator[str]:
    """Yield the most common beginning, or end, of each length."""
    for length in range(1, LONGEST_AFFIX + 1):
        parts = Counter(
            name[:length] if first else name[-length:] for name in names if len(name) > length
        )
        if parts:
            yield parts.most_common(1)[0][0]


def _match_by_buyers(case: Case) -> dict[str, str]:
    """Return the item that each new item continues, and each item whose id has another meaning."""
    is_old = case.now["item_id"].isin(case.before["item_id"].unique())
    vanished = case.before["item_id"].isin(_find_vanished(case))
    affinity = compute_affinity(case.before[vanished], case.now[~is_old], "item_id")
    names = {} if affinity is None else affinity.match()
    if _measure_moved(case) > FLOOR:
        names |= _match_permuted(case)
    return names


def _match_permuted(case: Case) -> dict[str, str]:
    """Return the item that each item was whose buyers and price are those of another one before."""
    affinity = compute_affinity(case.before, case.now, "item_id")
    if affinity is None:
        return {}
    before, now = (_prices(events) for events in (case.before, case.now))
    typical = pd.Series(np.log(now / before)).median()
    chosen = affinity.is_mutual
    ids, old = affinity.ids[chosen], affinity.nearest[chosen]
    move = np.log(now.reindex(ids).to_numpy() / before.reindex(old).to_numpy()) - typical
    agrees = np.abs(move) < PRICE_AGREES
    return dict(zip(ids[agrees], old[agrees], strict=True))


def explain_items(case: Case, _bound: float) -> Suspicion | None:
    """Return the map of the ids, as far as it can be told."""
    names = match_items(case)
    share = float(case.now["item_id"].isin(names.keys()).mean())
    because = f"the items of {measure_items(case):.1%} of the lines or more are not what they were"
    if names:
        example, old = min(names.items())
        because += f"; {len(names):,} ids of {share:.1%} of the lines continue others: '{example}' "
        because += f"was '{old}'"
    return Suspicion(
        phase="collection",
        because=because,
        action="Check how item ids are assigned in the newest partitions, or declare the map of "
        "the ids under collection.corrections in params.yaml.",
        steps=(append_renames(case, "item_id"),) if names else (),
        undo=(lambda faulty: rename_items(faulty, names)) if names else None,
        renames=names,
    )


ITEMS_REMAPPED = Cause(
    name="items_remapped",
    statistic="share of lines whose item id changed its meaning",
    measure=measure_items,
    explain=explain_items,
    floor=FLOOR,
    factor=2.0,
)
