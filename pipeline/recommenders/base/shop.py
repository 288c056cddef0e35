"""What a recommender may learn from at one moment, and nothing later."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.requests import Requests, attribute_codes, build_requests
from pipeline.recommenders.base.vocabulary import Ints, Vocabulary
from pipeline.recommenders.base.wall_clock import to_seconds


@dataclass(frozen=True)
class ExampleBatch:
    """Examples, and the requests that they stand for."""

    examples: pd.DataFrame
    requests: Requests


@dataclass(frozen=True)
class TrainingData:
    """All that a recommender may learn from: nothing in it is later than `cutoff`.

    `offers` are planned ahead by the retailer: they may reach beyond the cut-off.

    Attributes:
        cutoff: Seconds since 1970; the first moment that is unknown.
        timezone: The shop's.
        vocabulary: Items sold before the cut-off.
        items: schemas.ITEMS rows in vocabulary order; row i describes index i + 1.
        histories: The purchases before the cut-off.
        attributes: Codes of the users' attributes, indexed by user_id.
        offers: schemas.OFFERS.
        train: schemas.EXAMPLES to learn from.
        validation: schemas.EXAMPLES to choose by; empty in the final fit on all data.
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
        """The training examples of each cut-off, earliest first."""
        seconds = to_seconds(self.train["cutoff"])
        return [(float(at), self.asked(self.train[seconds == at])) for at in np.unique(seconds)]

    @cached_property
    def rolling(self) -> ExampleBatch:
        """The validation examples whose time is known: what training chooses by."""
        return self.asked(self.validation[self.validation["protocol"] == "rolling"])

    def validation_sample(self, n: int) -> ExampleBatch:
        """Return about `n` of the validation examples whose time is known, evenly drawn."""
        rolling = self.rolling.examples
        return self.asked(rolling.iloc[:: max(1, len(rolling) // n)])

    def asked(self, chosen: pd.DataFrame) -> ExampleBatch:
        """Return these examples with their requests."""
        examples = chosen.reset_index(drop=True)
        return ExampleBatch(examples, self.requests(examples))

    def requests(self, examples: pd.DataFrame) -> Requests:
        """Return the requests that the examples stand for."""
        return requests_of(
            examples, self.histories, self.vocabulary, self.attributes, self.timezone
        )


def requests_of(
    examples: pd.DataFrame,
    histories: Histories,
    vocabulary: Vocabulary,
    attributes: pd.DataFrame,
    timezone: str,
) -> Requests:
    """Return one request per row of schemas.EXAMPLES.

    A first basket is asked for at its cut-off: when and where it will be is not known.
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


def labels_of(examples: pd.DataFrame, vocabulary: Vocabulary) -> tuple[Ints, Ints]:
    """Return the labels behind each other: [n_labels] the example's position, [n_labels] index."""
    lengths = examples["labels"].map(len).to_numpy(dtype=np.int64)
    rows = np.repeat(np.arange(len(examples), dtype=np.int32), lengths)
    return rows, vocabulary.encode([name for labels in examples["labels"] for name in labels])


def is_own(requests: Requests, row: Ints, item: Ints, n_items: int) -> npt.NDArray[np.bool_]:
    """Return whether each label is on an item that its shopper bought before.

    The lines of `requests` are in the order of request and item, so each label is looked up there.

    Args:
        requests: The requests.
        row: [n_labels] the request of each label.
        item: [n_labels] item index, 0 = not known.
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
    """Return what may be known at `cutoff`; later events and examples are left out.

    A request holds at most the newest `maximum_lines` of its shopper.

    Raises:
        TrainingError: No purchase, or no example to learn from, lies before the cut-off.
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
        attributes=attribute_codes(users),
        offers=offers,
        train=learnable,
        validation=validation[validation["timestamp"] < cutoff].reset_index(drop=True),
    )
