"""Does anything of the future reach a request, or what the model holds of the items?

Everything is built twice by the code that training and testing use: with all events in hand, as
they have them, and with the future withheld. The filter that withholds it is this module's own, so
that a fault in the pipeline's filters shows as a difference. A request may know the user's
purchases strictly before it, and:

    rolling         a visit that begins: its moment, its store, and what is in the cart by then
    first_basket    the cut-off; neither when nor where the basket will be

So the store comes from the request's own basket, where the user already is, and never from another.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.items import item_state
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.diagnosis.leak import Foresight
from pipeline.testing.gather import EvaluationTables, sampled, state_of

Bools = npt.NDArray[np.bool_]

N_ASKED = 256
POPULAR_DAYS = 28  # any window would show a leak
OF_A_LINE = ("item", "age_days", "baskets_ago", "quantity", "price", "hour_of_week")
OF_A_REQUEST = ("time", "time_known", "local_weekday", "local_hour", "user_attributes")
OUTCOMES = ["labels", "relevance", "negatives"]


def foresee(
    model: GraphRecommender, tables: EvaluationTables, histories: Histories, test: pd.DataFrame
) -> Foresight:
    """Return what the future changes, on examples that were learned from and on unseen ones.

    Args:
        model: Whose vocabulary and item state are looked at.
        tables: What requests are built from.
        histories: All purchases up to the end of the test window.
        test: Rolling examples of the test window.
    """
    groups = [part for _, part in tables.train.groupby("protocol", sort=True)]
    changed, foreign = [], []
    for examples in (*groups, test):
        asked = sampled(examples.drop_duplicates("user_id"), N_ASKED, tables.shop.seed)
        events = tables.events[tables.events["user_id"].isin(asked["user_id"])]
        changed.append(changed_inputs(asked, events, tables, model.vocabulary))
        foreign.append(foreign_context(asked, events, tables, model.vocabulary))
    return Foresight(
        changed=np.concatenate(changed),
        foreign=np.concatenate(foreign),
        state_difference=state_difference(model, histories, tables.train["cutoff"].max()),
        n_early_items=early_items(model, tables.events),
    )


def changed_inputs(
    asked: pd.DataFrame, events: pd.DataFrame, tables: EvaluationTables, vocabulary: Vocabulary
) -> Bools:
    """Return [n] whether a request has other inputs without its future and with other labels.

    Args:
        asked: Examples, one per user.
        events: Of these users.
        tables: Builds the requests.
        vocabulary: The model's.
    """
    blind = asked.assign(**{name: np.roll(asked[name], 1) for name in OUTCOMES if name in asked})
    known = events[_is_before(events, asked)]
    sides = []
    for examples, seen in ((asked, events), (blind, known)):
        histories = build_histories(seen, vocabulary, maximum_lines=tables.shop.maximum_user_lines)
        sides.append((tables.questions(examples, histories, vocabulary).requests, histories))
    return _differ(*sides)


def _is_before(events: pd.DataFrame, asked: pd.DataFrame) -> Bools:
    """Return which events come before their user's request, and before its own basket begins."""
    begins = pd.Series(asked["timestamp"].to_numpy(), asked["user_id"].to_numpy())
    own = _own_lines(events, asked).groupby("user_id")["timestamp"].min()
    moment = begins.where(~(own.reindex(begins.index) < begins), own.reindex(begins.index))
    return np.asarray(events["timestamp"] < events["user_id"].map(moment))


def _own_lines(events: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Return the purchases of the baskets that the examples ask for."""
    wanted = pd.MultiIndex.from_frame(asked[["user_id", "basket_id"]])
    own = pd.MultiIndex.from_frame(events[["user_id", "basket_id"]]).isin(wanted)
    return events[own & (events["event_type"] == "purchase").to_numpy()]


def _differ(one: tuple[Requests, Histories], other: tuple[Requests, Histories]) -> Bools:
    """Return [n] whether any input differs; store codes by name, for each history has its own."""
    sides = [_by_request(*side) for side in (one, other)]
    pairs = zip(*sides, strict=True)
    same = [all(map(np.array_equal, left, right)) for left, right in pairs]
    return ~np.array(same, dtype=bool)


def _by_request(requests: Requests, histories: Histories) -> Iterable[list[Any]]:
    """Yield the inputs of each request; its own store is left to `foreign_context`."""
    names = np.array(["", *histories.store_ids], dtype=object)
    lines = [*(getattr(requests, name) for name in OF_A_LINE), names[requests.store]]
    for n in range(len(requests)):
        own, cart, viewed = (
            slice(*splits[n : n + 2])
            for splits in (requests.row_splits, requests.cart_splits, requests.viewed_splits)
        )
        yield [
            *(column[own] for column in lines),
            requests.cart_item[cart],
            requests.viewed_item[viewed],
            *(getattr(requests, name)[n] for name in OF_A_REQUEST),
        ]


def foreign_context(
    asked: pd.DataFrame, events: pd.DataFrame, tables: EvaluationTables, vocabulary: Vocabulary
) -> Bools:
    """Return whether a request knows what a visit that begins does not know of itself.

    That is a moment after its basket began, a store that is not its basket's, a cart with what is
    asked for; and for a first basket any store, time of day or cart. Of examples whose basket is
    not in the events nothing can be said: they are left out.

    Args:
        asked: Examples, one per user.
        events: Of these users.
        tables: Builds the requests.
        vocabulary: The model's.
    """
    histories = build_histories(events, vocabulary, maximum_lines=tables.shop.maximum_user_lines)
    requests = tables.questions(asked, histories, vocabulary).requests
    names = np.array([None, *histories.store_ids], dtype=object)[requests.at_store]
    own = {str(user): rows for user, rows in _own_lines(events, asked).groupby("user_id")}
    return np.array(
        [
            _is_foreign(row, own[str(row.user_id)], names[n], bool(requests.time_known[n]))
            for n, row in enumerate(asked.itertuples())
            if str(row.user_id) in own
        ],
        dtype=np.bool_,
    )


def _is_foreign(row: Any, own: pd.DataFrame, store: str | None, is_known: bool) -> bool:  # noqa: FBT001
    if row.protocol != "rolling":
        return store is not None or is_known or row.timestamp > row.cutoff or len(row.cart) > 0
    late = row.timestamp > own["timestamp"].min()
    elsewhere = store is not None and store not in set(own["store_id"])
    return late or elsewhere or not set(row.cart).isdisjoint(row.labels)


def known_before(histories: Histories, cutoff: float) -> Histories:
    """Return the histories without what was bought from the cut-off on."""
    known = histories.known_from < cutoff
    n_users = len(histories.user_ids)
    user = np.repeat(np.arange(n_users), np.diff(histories.row_splits))[known]
    lines = ("item", "time", "basket", "quantity", "price", "store")
    return replace(
        histories,
        row_splits=np.searchsorted(user, np.arange(n_users + 1)),
        **{name: getattr(histories, name)[known] for name in lines},
        last=None if histories.last is None else histories.last[known],
    )


def state_difference(
    model: GraphRecommender, histories: Histories, learned_at: pd.Timestamp
) -> float:
    """Return how far item state is from what was known at its cut-off, at most.

    Looked at are the state that the model holds, and what the builder of states makes of all
    purchases for a cut-off that was learned from.
    """
    n_items = len(model.vocabulary)

    def blind(cutoff: float) -> Any:
        return item_state(known_before(histories, cutoff), n_items, cutoff, popular_days=days)

    days, cutoff = POPULAR_DAYS, learned_at.timestamp()
    built, known = item_state(histories, n_items, cutoff, popular_days=days), blind(cutoff)
    differences = [built.values - known.values, built.popularity - known.popularity]
    held = state_of(model)
    if held is not None:
        own = pd.Timestamp(model.description["cutoff"]).timestamp()
        differences.append(held.numpy() - blind(own).values)
    return max(float(np.abs(each).max()) for each in differences)


def early_items(model: GraphRecommender, events: pd.DataFrame) -> int:
    """Return how many items the model knows that had not sold before its cut-off."""
    sold = events[events["timestamp"] < pd.Timestamp(model.description["cutoff"])]
    bought = sold.loc[sold["event_type"] == "purchase", "item_id"]
    return len(set(model.vocabulary.ids) - set(bought))
