"""Take away what a reason names, and see whether the item's score falls.

A reason that is a cause and not only true must pass: without the older purchases the item scores
lower than "You bought it 18 times" made it. Reasons about the shopper are taken out of the
request, reasons about the item out of the model's tables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.recommenders.base.items import STATE
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.ranker.explain import FINER_GROUPS
from pipeline.serving.explanations.catalogue import Catalogue

LINES = ("item", "age_days", "baskets_ago", "quantity", "price", "store", "hour_of_week")
OF_THE_MODEL = ("offers", "popularity", "again")
WHOLE = {
    "store": ("at_store",),
    "hour": ("time_known",),
    "weekday": ("time_known",),
    "profile": ("user_attributes",),
}
LOWEST = -np.inf


def score_of(recommender: GraphRecommender, request: Requests, item: int) -> float:
    """Return the score of `item` for a batch of one, -inf where it is not to be had."""
    is_own = bool((request.item == item).any())
    width = len(np.unique(request.item)) if is_own else len(recommender.vocabulary)
    ranked = recommender.rank(request, max(width, 1))
    kind = "repeat" if is_own else "explore"
    items, scores = getattr(ranked, f"{kind}_items")[0], getattr(ranked, f"{kind}_scores")[0]
    found = np.flatnonzero(items == item)
    return float(scores[found[0]]) if len(found) else LOWEST


def fall(
    recommender: GraphRecommender, request: Requests, item: int, kind: str, catalogue: Catalogue
) -> float | None:
    """Return by how much the score falls without what the reason names, None if all would go.

    Args:
        recommender: Whose reason it is.
        request: A batch of one.
        item: Item index.
        kind: Of the `Reason`.
        catalogue: For the items' kinds.
    """
    if kind in OF_THE_MODEL:
        before = score_of(recommender, request, item)
        with model_without(recommender.module, request, item, kind):
            return before - score_of(recommender, request, item)
    changed = without(request, item, kind, catalogue)
    if changed is None:
        return None
    return score_of(recommender, request, item) - score_of(recommender, changed, item)


def without(request: Requests, item: int, kind: str, catalogue: Catalogue) -> Requests | None:
    """Return the request without what a reason of this kind names; None if nothing can be taken."""
    own = request.item == item
    if kind in WHOLE:
        return replace(request, **{n: np.zeros_like(getattr(request, n)) for n in WHOLE[kind]})
    if kind in ("cart", "viewed"):
        nothing = {f"{kind}_item": np.zeros(0, np.int32), f"{kind}_splits": np.array([0, 0])}
        return replace(request, **nothing)
    if kind in ("category", "taste"):
        code = catalogue.category_code
        others = own | (code[request.item] != code[item])
        return _kept(request, others if kind == "category" else np.zeros_like(own))
    if kind == "quantity":
        return replace(request, quantity=np.where(own, np.float32(1.0), request.quantity))
    if kind == "due":
        return _just_bought(request, int(own.argmax()))
    return _with_fewer(request, own, kind)


def _with_fewer(request: Requests, own: npt.NDArray[np.bool_], kind: str) -> Requests | None:
    """Return the request with less of the item's own purchases, which are ordered from late."""
    is_latest = np.arange(len(own)) == own.argmax()
    if own.sum() <= 1 or kind not in ("frequency", "choice", "recent"):
        return None
    return _kept(request, ~is_latest if kind == "recent" else ~own | is_latest)


def _kept(request: Requests, lines: npt.NDArray[np.bool_]) -> Requests:
    values: dict[str, Any] = {name: getattr(request, name)[lines] for name in LINES}
    return replace(request, row_splits=np.array([0, int(lines.sum())]), **values)


def _just_bought(request: Requests, line: int) -> Requests | None:
    """Return the request with the purchase at `line` put into the latest basket."""
    newest = int(request.age_days.argmin())
    if request.baskets_ago[line] == request.baskets_ago[newest]:
        return None
    values: dict[str, Any] = {}
    for name in ("age_days", "baskets_ago", "hour_of_week", "store"):
        values[name] = getattr(request, name).copy()
        values[name][line] = values[name][newest]
    return replace(request, **values)


@contextmanager
def model_without(module: Any, request: Requests, item: int, kind: str) -> Iterator[None]:
    """Give `item` no offer, or the sales that the items to choose from have on average."""
    calendar = module.features.offers
    table = calendar.flat if kind == "offers" else module.features.state
    before = table.numpy()
    changed = before.copy()
    if kind == "offers":
        changed.reshape(calendar.n_weeks, -1, before.shape[1])[:, item] = 0
    else:
        is_own = (request.item == item).any()
        others = np.unique(request.item) if is_own else np.arange(1, len(before))
        at = [STATE.index(name) for name in FINER_GROUPS[kind]]
        changed[item, at] = before[others][:, at].mean(axis=0)
    table.assign(changed)
    try:
        yield
    finally:
        table.assign(before)
