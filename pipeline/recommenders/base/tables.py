"""Read the tables of collection and labeling as `TrainingData`."""

from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.params import ShopParams
from pipeline.recommenders.base.training_data import TrainingData, build_training_data

EVENT_COLUMNS = ["user_id", "item_id", "timestamp", "event_type", "quantity", "price", "basket_id"]
EVENT_COLUMNS += ["store_id"]


def read_examples(*splits: str) -> pd.DataFrame:
    """Read the labelled examples of these splits, in the order of the file."""
    examples = artefacts.read_table(artefacts.EXAMPLES)
    return examples[examples["split"].isin(splits)].reset_index(drop=True)


def read_training_data(
    shop: ShopParams, cutoff: datetime, *, learn_from: Sequence[str], validate: bool = True
) -> TrainingData:
    """Read the training data at `cutoff`.

    Args:
        shop: Time zone and maximum history length.
        cutoff: First unknown moment.
        learn_from: Splits for fitting.
        validate: Whether to keep the validation split for model selection.
    """
    examples = read_examples(*learn_from, *(["validation"] if validate else []))
    learnable = examples["split"].isin(learn_from)
    return build_training_data(
        cutoff=pd.Timestamp(cutoff),
        timezone=shop.timezone,
        events=artefacts.read_table(artefacts.EVENTS, columns=EVENT_COLUMNS),
        items=artefacts.read_table(artefacts.ITEMS),
        users=artefacts.read_table(artefacts.USERS),
        offers=artefacts.read_table(artefacts.OFFERS),
        train=examples[learnable],
        validation=examples[examples["split"].eq("validation") & validate],
        maximum_lines=shop.maximum_user_lines,
    )
