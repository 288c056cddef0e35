"""Training data of a recommender at a cut-off, without anything later."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.requests import Requests, build_requests, encode_attributes
from pipeline.recommenders.base.vocabulary import Ints, Vocabulary
from pipeline.recommenders.base.wall_clock import to_seconds


@dataclass(frozen=True)
class ExampleBatch:
    """Examples with their requests."""

    examples: pd.DataFrame
    requests: Requests


@dataclass(frozen=True)
class TrainingData:
    """Everything that a recommender may learn from; only `offers` reach beyond `cutoff`.

    The retailer plans offers ahead, so future ones are known at the cut-off.

    Attributes:
        cutoff: Seconds since 1970; the first unknown moment.
        timezone: Time zone of the shop.
        vocabulary: Items sold before the cut-off.
        items: schemas.ITEMS rows in vocabulary order; row i describes index i + 1.
        histories: Purchases before the cut-off.
        attributes: Codes of the users' attributes, indexed by user_id.
        offers: schemas.OFFERS.
        train: schemas.EXAMPLES for fitting.
        validation: schemas.EXAMPLES for model selection; empty in the refit on all data.
    """

    cutoff: float
    timezone: str
    vocabulary: Vocabulary
    items: pd.DataFrame
    histories: Histories
    attributes: pd.DataFrame
    offers: pd.DataFrame
    train: pd.DataFrame
    validation: pd.DataFrame

    @cached_property
    def windows(self) -> list[tuple[float, ExampleBatch]]:
        """Training examples of each cut-off, earliest first."""
        seconds = to_seconds(self.train["cutoff"])
        return [
            (float(at), self.build_batch(self.train[seconds == at])) for at in np.unique(seconds)
        ]

    @cached_property
    def rolling(self) -> ExampleBatch:
        """Validation examples of the rolling protocol, which model selection uses."""
        return self.build_batch(self.validation[self.validation["protocol"] == "rolling"])

    def validation_sample(self, n: int) -> ExampleBatch:
        """Return about `n` evenly spaced rolling validation examples."""
        rolling = self.rolling.examples
        return self.build_batch(rolling.iloc[:: max(1, len(rolling) // n)])

    def build_batch(self, chosen: pd.DataFrame) -> ExampleBatch:
        """Return the examples with their requests."""
        examples = chosen.reset_index(drop=True)
        return ExampleBatch(examples, self.build_requests(examples))

    def build_requests(self, examples: pd.DataFrame) -> Requests:
        """Return the requests of the examples."""
        return build_example_requests(
            examples, self.histories, self.vocabulary, self.attributes, self.timezone
        )


def build_example_requests(
    examples: pd.DataFrame,
    histories: Histories,
    vocabulary: Vocabulary,
    attributes: pd.DataFrame,
    timezone: str,
) -> Requests:
    """Return one request per row of schemas.EXAMPLES.

    Requests for a first basket are made at the cut-off, without the time and store of the visit.
    """
    known = (examples["protocol"] == "rolling").to_numpy()
    stores = examples["store_id"].where(known, None) if "store_id" in examples else None
    lengths = examples["cart"].map(len).to_numpy()
    flat = vocabulary.encode([name for cart in examples["cart"] for name in cart])
    return build_requests(
        histories,
        examples["user_id"].tolist(),
        to_seconds(examples["timestamp"]),
        carts=np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else [],
        attributes=attributes,
        timezone=timezone,
        stores=None if stores is None else [s if isinstance(s, str) else None for s in stores],
        time_known=known.astype(np.int32),
    )


def encode_labels(examples: pd.DataFrame, vocabulary: Vocabulary) -> tuple[Ints, Ints]:
    """Return [n_labels] the example's position and [n_labels] the item index of each label."""
    lengths = examples["labels"].map(len).to_numpy(dtype=np.int64)
    rows = np.repeat(np.arange(len(examples), dtype=np.int32), lengths)
    return rows, vocabulary.encode([name for labels in examples["labels"] for name in labels])


def is_repeat_label(
    requests: Requests, row: Ints, item: Ints, n_items: int
) -> npt.NDArray[np.bool_]:
    """Return [n_labels] whether the user had bought the labelled item before.

    The lines of `requests` are ordered by request and item, so a binary search finds each label.

    Args:
        requests: Requests with their histories.
        row: [n_labels] request of each label.
        item: [n_labels] item index, 0 = unknown.
        n_items: Size of the vocabulary.
    """
    line_row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    bought = line_row * n_items + requests.item
    wanted = row.astype(np.int64) * n_items + item
    first, behind = (np.searchsorted(bought, wanted, side=side) for side in ("left", "right"))
    return np.asarray((first < behind) & (item > 0))


def build_training_data(  # noqa: PLR0913  one argument per table
    *,
    cutoff: pd.Timestamp,
    timezone: str,
    events: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    offers: pd.DataFrame,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    maximum_lines: int | None = None,
) -> TrainingData:
    """Return the training data at `cutoff`, without later events and examples.

    A request holds at most the newest `maximum_lines` of its user.

    Raises:
        TrainingError: No purchase or no training example lies before the cut-off.
    """
    known = events[(events["timestamp"] < cutoff) & (events["event_type"] == "purchase")]
    vocabulary = Vocabulary(tuple(sorted(known["item_id"].unique())))
    learnable = train[train["timestamp"] < cutoff].reset_index(drop=True)
    if known.empty or learnable.empty:
        raise TrainingError(
            f"purchases and training examples before {cutoff:%Y-%m-%d}",
            received=f"{len(known)} purchases, {len(learnable)} examples",
            action="Set shop.as_of later, or lower labeling.minimum_earlier_baskets.",
        )
    described = items.set_index("item_id").reindex(list(vocabulary.ids)).reset_index()
    return TrainingData(
        cutoff=cutoff.timestamp(),
        timezone=timezone,
        vocabulary=vocabulary,
        items=described,
        histories=build_histories(known, vocabulary, maximum_lines=maximum_lines),
        attributes=encode_attributes(users),
        offers=offers,
        train=learnable,
        validation=validation[validation["timestamp"] < cutoff].reset_index(drop=True),
    )
