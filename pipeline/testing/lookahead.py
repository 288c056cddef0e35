"""Look-ahead check: does information from the future reach requests or item state?

The code of training and testing builds all inputs twice: from all events, and with the future
withheld. This module has its own filter for the future, so that a fault in the pipeline's filters
shows as a difference. A request may use the user's purchases strictly before it, and:

    rolling         the moment, the store and the cart of the visit that begins
    first_basket    the cut-off, but neither the time nor the store of the basket

The store is therefore that of the request's basket, never that of another one.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.items import compute_item_state
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.diagnosis.leak import LookAhead
from pipeline.testing.evaluation_inputs import EvaluationTables, draw_sample, item_state_variable

Bools = npt.NDArray[np.bool_]

N_SAMPLED = 256
POPULAR_DAYS = 28  # any window would show a leak
OF_A_LINE = ("item", "age_days", "baskets_ago", "quantity", "price", "hour_of_week")
OF_A_REQUEST = ("time", "time_known", "local_weekday", "local_hour", "user_attributes")
OUTCOMES = ["labels", "relevance", "negatives"]


def check_look_ahead(
    model: GraphRecommender, tables: EvaluationTables, histories: Histories, test: pd.DataFrame
) -> LookAhead:
    """Return the changes without the future, on training examples and on unseen ones.

    Args:
        model: Model whose vocabulary and item state are checked.
        tables: Tables that requests are built from.
        histories: All purchases up to the end of the test window.
        test: Rolling examples of the test window.
    """
    groups = [part for _, part in tables.train.groupby("protocol", sort=True)]
    changed, foreign = [], []
    for examples in (*groups, test):
        asked = draw_sample(examples.drop_duplicates("user_id"), N_SAMPLED, tables.shop.seed)
        events = tables.events[tables.events["user_id"].isin(asked["user_id"])]
        changed.append(find_changed_inputs(asked, events, tables, model.vocabulary))
        foreign.append(find_foreign_context(asked, events, tables, model.vocabulary))
    return LookAhead(
        changed=np.concatenate(changed),
        foreign=np.concatenate(foreign),
        state_difference=state_difference(model, histories, tables.train["cutoff"].max()),
        n_early_items=count_early_items(model, tables.events),
    )


def find_changed_inputs(
    asked: pd.DataFrame, events: pd.DataFrame, tables: EvaluationTables, vocabulary: Vocabulary
) -> Bools:
    """Return [n] whether a request's inputs change without its future and with other labels.

    Args:
        asked: Examples, one per user.
        events: Events of these users.
        tables: Tables that requests are built from.
        vocabulary: Vocabulary of the model.
    """
    blind = asked.assign(**{name: np.roll(asked[name], 1) for name in OUTCOMES if name in asked})
    known = events[_is_before(events, asked)]
    sides = []
    for examples, seen in ((asked, events), (blind, known)):
        histories = build_histories(seen, vocabulary, maximum_lines=tables.shop.maximum_user_lines)
        sides.append(
            (tables.build_evaluation_set(examples, histories, vocabulary).requests, histories)
        )
    return _find_differences(*sides)


def _is_before(events: pd.DataFrame, asked: pd.DataFrame) -> Bools:
    """Return which events precede their user's request and the start of its basket."""
    begins = pd.Series(asked["timestamp"].to_numpy(), asked["user_id"].to_numpy())
    own_start = _select_basket_lines(events, asked).groupby("user_id")["timestamp"].min()
    moment = begins.where(
        ~(own_start.reindex(begins.index) < begins), own_start.reindex(begins.index)
    )
    return np.asarray(events["timestamp"] < events["user_id"].map(moment))


def _select_basket_lines(events: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Return the purchases of the examples' baskets."""
    wanted = pd.MultiIndex.from_frame(asked[["user_id", "basket_id"]])
    is_own_basket = pd.MultiIndex.from_frame(events[["user_id", "basket_id"]]).isin(wanted)
    return events[is_own_basket & (events["event_type"] == "purchase").to_numpy()]


def _find_differences(one: tuple[Requests, Histories], other: tuple[Requests, Histories]) -> Bools:
    """Return [n] whether any input differs; stores are compared by id, not by code."""
    sides = [_list_inputs(*side) for side in (one, other)]
    pairs = zip(*sides, strict=True)
    same = [all(map(np.array_equal, left, right)) for left, right in pairs]
    return ~np.array(same, dtype=bool)


def _list_inputs(requests: Requests, histories: Histories) -> Iterable[list[Any]]:
    """Yield the inputs of each request; `find_foreign_context` checks the store of the visit."""
    names = np.array(["", *histories.store_ids], dtype=object)
    lines = [*(getattr(requests, name) for name in OF_A_LINE), names[requests.store]]
    for n in range(len(requests)):
        lines_of_request, cart, viewed = (
            slice(*splits[n : n + 2])
            for splits in (requests.row_splits, requests.cart_splits, requests.viewed_splits)
        )
        yield [
            *(column[lines_of_request] for column in lines),
            requests.cart_item[cart],
            requests.viewed_item[viewed],
            *(getattr(requests, name)[n] for name in OF_A_REQUEST),
        ]


def find_foreign_context(
    asked: pd.DataFrame, events: pd.DataFrame, tables: EvaluationTables, vocabulary: Vocabulary
) -> Bools:
    """Return whether a request has context that is unknown when its visit begins.

    Such context is a moment after the start of the basket, the store of another basket, or a cart
    with labels; for a first basket, any store, time of day or cart. Examples without their basket
    in the events are skipped.

    Args:
        asked: Examples, one per user.
        events: Events of these users.
        tables: Tables that requests are built from.
        vocabulary: Vocabulary of the model.
    """
    histories = build_histories(events, vocabulary, maximum_lines=tables.shop.maximum_user_lines)
    requests = tables.build_evaluation_set(asked, histories, vocabulary).requests
    names = np.array([None, *histories.store_ids], dtype=object)[requests.at_store]
    basket_lines = {
        str(user): rows for user, rows in _select_basket_lines(events, asked).groupby("user_id")
    }
    return np.array(
        [
            _has_foreign_context(
                row, basket_lines[str(row.user_id)], names[n], is_known=bool(requests.time_known[n])
            )
            for n, row in enumerate(asked.itertuples())
            if str(row.user_id) in basket_lines
        ],
        dtype=np.bool_,
    )


def _has_foreign_context(
    row: Any, basket_lines: pd.DataFrame, store: str | None, *, is_known: bool
) -> bool:
    """Return whether one request has context that is unknown when its visit begins."""
    if row.protocol != "rolling":
        return store is not None or is_known or row.timestamp > row.cutoff or len(row.cart) > 0
    late = row.timestamp > basket_lines["timestamp"].min()
    elsewhere = store is not None and store not in set(basket_lines["store_id"])
    return late or elsewhere or not set(row.cart).isdisjoint(row.labels)


def select_known(histories: Histories, cutoff: float) -> Histories:
    """Return the histories before the cut-off."""
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
    """Return the largest difference of item state from the state known at its cut-off.

    Checks the state in the model, and the state computed from all purchases for a training cut-off.
    """
    n_items = len(model.vocabulary)

    def blind(cutoff: float) -> Any:
        return compute_item_state(
            select_known(histories, cutoff), n_items, cutoff, popular_days=days
        )

    days, cutoff = POPULAR_DAYS, learned_at.timestamp()
    built, known = compute_item_state(histories, n_items, cutoff, popular_days=days), blind(cutoff)
    differences = [built.values - known.values, built.popularity - known.popularity]
    model_state = item_state_variable(model)
    if model_state is not None:
        cutoff_of_model = pd.Timestamp(model.description["cutoff"]).timestamp()
        differences.append(model_state.numpy() - blind(cutoff_of_model).values)
    return max(float(np.abs(difference).max()) for difference in differences)


def count_early_items(model: GraphRecommender, events: pd.DataFrame) -> int:
    """Return the number of items in the vocabulary that were not sold before the cut-off."""
    sold = events[events["timestamp"] < pd.Timestamp(model.description["cutoff"])]
    bought = sold.loc[sold["event_type"] == "purchase", "item_id"]
    return len(set(model.vocabulary.ids) - set(bought))
