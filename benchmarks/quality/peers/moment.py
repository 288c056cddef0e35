"""One cut-off: what may be learned from before it, and what is asked of every method after it."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from benchmarks.quality.peers.types import ItemTypes, item_types
from pipeline.contracts import artefacts
from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.params import Params
from pipeline.contracts.schemas import PROTOCOLS
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import encode_attributes
from pipeline.recommenders.base.tables import EVENT_COLUMNS
from pipeline.recommenders.base.training_data import (
    TrainingData,
    build_example_requests,
    build_training_data,
)
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.protocols import ROLLING, WITHOUT_CONTEXT
from pipeline.training.refit import thin_examples


@dataclass(frozen=True)
class Moment:
    """A cut-off.

    Attributes:
        day: The shop's own day.
        shop: All that is known at the cut-off. As in deployment, every window before it is
            learned from and none is set apart.
        questions: By protocol, in the window that begins at the cut-off.
        types: Of the products.
    """

    day: date
    shop: TrainingData
    questions: dict[str, EvaluationSet]
    types: ItemTypes


def read_moment(day: date, params: Params) -> Moment:
    """Return the cut-off `day` from the clean and labelled tables.

    Raises:
        DataQualityError: No labelled window opens on that day.
    """
    cutoff = pd.Timestamp(params.shop.midnight(day))
    examples = artefacts.read_table(artefacts.EXAMPLES)
    asked = examples[examples["cutoff"] == cutoff]
    if set(asked["protocol"]) != set(PROTOCOLS):
        windows = sorted({f"{at:%Y-%m-%d}" for at in examples["cutoff"]})
        raise DataQualityError(
            f"examples of both protocols in a window that opens on {day}",
            received=f"windows that open on {', '.join(windows)}",
            action="Choose the validation, the test or the production cut-off.",
        )
    events = artefacts.read_table(artefacts.EVENTS, columns=EVENT_COLUMNS)
    items, users = artefacts.read_table(artefacts.ITEMS), artefacts.read_table(artefacts.USERS)
    shop = thin_examples(
        build_training_data(
            cutoff=cutoff,
            timezone=params.shop.timezone,
            events=events,
            items=items,
            users=users,
            offers=artefacts.read_table(artefacts.OFFERS),
            train=examples[examples["cutoff"] < cutoff],
            validation=examples.iloc[:0],
        )
    )
    known = events[events["timestamp"] < asked["timestamp"].max()]
    histories = build_histories(known, shop.vocabulary)
    attributes = encode_attributes(users)
    questions = {}
    for protocol in PROTOCOLS:
        chosen = asked[asked["protocol"] == protocol].reset_index(drop=True)
        requests = build_example_requests(
            chosen, histories, shop.vocabulary, attributes, params.shop.timezone
        )
        questions[protocol] = EvaluationSet.of(chosen, requests, shop.vocabulary)
    questions[WITHOUT_CONTEXT] = questions[ROLLING].without_context()
    return Moment(day, shop, questions, item_types(items, shop.vocabulary))


def with_validation(shop: TrainingData) -> TrainingData:
    """Return the same shop with the last window set apart, to choose by."""
    last = shop.train["cutoff"].max()
    is_last = shop.train["cutoff"] == last
    return replace(
        shop,
        train=shop.train[~is_last].reset_index(drop=True),
        validation=shop.train[is_last].reset_index(drop=True),
    )


def users_of(examples: pd.DataFrame) -> np.ndarray:
    """Return [n] code of each request's user."""
    names = examples["user_id"].to_numpy(dtype=object)
    return np.unique(names, return_inverse=True)[1]
