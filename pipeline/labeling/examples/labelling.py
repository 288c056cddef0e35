"""The labelled set: windows, baskets, examples, and the lists of items that each example holds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.contracts import schemas
from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.labeling.examples.baskets import baskets_of, relevance_of, windows_of
from pipeline.labeling.examples.carts import cart_sizes, prefix
from pipeline.labeling.examples.negatives import draw_negatives, on_offer
from pipeline.labeling.examples.ragged import Longs, Ragged, concat
from pipeline.labeling.examples.randomness import hash_ids, uniform
from pipeline.labeling.examples.selection import first_basket, moments_of, rolling
from pipeline.labeling.examples.windows import Window, check_examples, check_windows, label_windows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baskets:
    """All baskets in the order of user and basket, and the lines behind them.

    Attributes:
        windows: Where labels may lie.
        lines: From `basket_lines`, with `item` (its position in `names`) and `basket`.
        baskets: From `baskets_of`, with `basket` (position) and `window` (-1 for none).
        names: Item ids, ascending.
    """

    windows: tuple[Window, ...]
    lines: pd.DataFrame
    baskets: pd.DataFrame
    names: npt.NDArray[np.object_]


@dataclass(frozen=True)
class Labelled:
    """The examples, one row each, and per example its lists.

    Attributes:
        source: The baskets that they come from.
        rows: The plain columns of schemas.EXAMPLES, with `window` and `basket`.
        labels: Positions of lines, ascending by item.
        relevance: Weight of each label.
        cart: Positions of lines in the order in which they came into the cart.
        negatives: Positions of item names, ascending.
    """

    source: Baskets
    rows: pd.DataFrame
    labels: Ragged
    relevance: Ragged
    cart: Ragged
    negatives: Ragged

    def items(self, lines: Ragged) -> Ragged:
        """Return lists of item positions from lists of line positions."""
        return Ragged(lines.splits, self.source.lines["item"].to_numpy()[lines.values])

    def table(self) -> pa.Table:
        """Return schemas.EXAMPLES."""
        names = self.source.names.tolist()
        columns = [name for name in schemas.EXAMPLES.names() if name in self.rows.columns]
        table = pa.Table.from_pandas(self.rows[columns], preserve_index=False)
        lists = {
            "cart": self.items(self.cart).to_arrow(names),
            "labels": self.items(self.labels).to_arrow(names),
            "relevance": self.relevance.to_arrow(),
            "negatives": self.negatives.to_arrow(names),
        }
        for name, values in lists.items():
            table = table.append_column(name, values)
        return schemas.check_table(table, schemas.EXAMPLES)


def gather(
    lines: pd.DataFrame, offers: pd.DataFrame, shop: ShopParams, params: LabelingParams
) -> Baskets:
    """Return the baskets of `lines` and the windows that they lie in.

    Args:
        lines: From `basket_lines`.
        offers: schemas.OFFERS; what is promoted has a name, even if it never sold.
        shop: Where the windows lie.
        params: How long they are.

    Raises:
        DataQualityError: The windows reach beyond the data, or one holds no basket.
    """
    first, last = lines["timestamp"].min(), lines["timestamp"].max()
    windows = label_windows(shop, params, first=first, last=last)
    baskets = baskets_of(lines)
    numbers = windows_of(baskets, windows)
    check_windows(windows, [int((numbers == k).sum()) for k in range(len(windows))], shop)
    known = pd.concat([lines["item_id"], offers["item_id"]]).unique()
    names = np.sort(np.asarray(known, dtype=object))
    positions = np.arange(len(baskets), dtype=np.int64)
    return Baskets(
        windows,
        lines.assign(
            item=pd.Index(names).get_indexer(lines["item_id"]).astype(np.int64),
            basket=np.repeat(positions, baskets["n_items"]),
        ),
        baskets.assign(basket=positions, window=numbers),
        names,
    )


def label(
    found: Baskets,
    offers: pd.DataFrame,
    dropped: npt.NDArray[np.bool_],
    shop: ShopParams,
    params: LabelingParams,
) -> Labelled:
    """Return the examples of all windows, ordered by window, protocol, user and basket.

    Args:
        found: The baskets.
        offers: schemas.OFFERS: what is promoted is on offer.
        dropped: [n_lines] what a reviewer wants not to be a label.
        shop: The seed.
        params: What an example is.
    """
    at_end = _relevance(found, "ends", dropped, params)
    at_horizon = _relevance(found, "horizon_ends", dropped, params)
    rows = pd.concat(
        [
            rolling(_with_wanted(found, at_end), found.windows, params, shop.seed),
            first_basket(_with_wanted(found, at_horizon), found.windows, params),
        ]
    )
    order = ["window", "protocol", "user_id", "basket_id"]
    rows = rows.sort_values(order, kind="stable", ignore_index=True)
    counts = np.bincount(rows["window"], minlength=len(found.windows)).tolist()
    check_examples(found.windows, counts, params.minimum_earlier_baskets)
    lines = _lines_of(found, rows)
    at_request = (rows["protocol"] == "rolling").to_numpy()[lines.rows()]
    weights = np.where(at_request, at_end[lines.values], at_horizon[lines.values])
    wanted = lines.where(weights > 0)
    cart = _carts(found, rows, wanted, shop.seed, params)
    left = ~np.isin(_keys(wanted, len(found.lines)), _keys(cart, len(found.lines)))
    return Labelled(
        source=found,
        rows=rows,
        labels=wanted.where(left),
        relevance=Ragged(wanted.splits, weights[weights > 0]).where(left),
        cart=cart,
        negatives=_negatives(found, rows, lines, offers, (shop.seed, params)),
    )


def _relevance(
    found: Baskets, closes: str, dropped: npt.NDArray[np.bool_], params: LabelingParams
) -> Floats:
    """Return the weight of each line as a label; 0 outside the windows and for what is dropped."""
    numbers = found.baskets["window"].to_numpy()[found.lines["basket"]]
    moments = moments_of(numbers, found.windows, closes)
    return np.where(dropped, 0.0, relevance_of(found.lines, moments, params))


def _with_wanted(found: Baskets, relevance: Floats) -> pd.DataFrame:
    wanted = np.bincount(found.lines["basket"], weights=relevance, minlength=len(found.baskets))
    return found.baskets.assign(wanted=wanted > 0)


def _lines_of(found: Baskets, rows: pd.DataFrame) -> Ragged:
    """Return per example the lines of its basket."""
    positions = np.arange(len(found.lines), dtype=np.int64)
    every = Ragged.from_rows(found.lines["basket"].to_numpy(), positions, len(found.baskets))
    return every.take(rows["basket"].to_numpy())


def _carts(
    found: Baskets, rows: pd.DataFrame, wanted: Ragged, seed: int, params: LabelingParams
) -> Ragged:
    """Return per example the lines that are in the cart already."""
    hashes = hash_ids(rows["example_id"])
    training = ((rows["split"] == "train") & (rows["protocol"] == "rolling")).to_numpy()
    sizes = cart_sizes(wanted.lengths(), training, hashes, params.cart_fraction, seed)
    items = hash_ids(pd.Series(found.names))[found.lines["item"].to_numpy()[wanted.values]]
    ties = uniform(seed, "cart order", hashes[wanted.rows()], items)
    moments = found.lines["timestamp"].astype("int64").to_numpy()[wanted.values]
    return prefix(wanted, moments, ties, sizes)


def _keys(lines: Ragged, n_lines: int) -> Longs:
    """Return one number per example and line."""
    return np.asarray(lines.rows() * n_lines + lines.values)


def _negatives(
    found: Baskets,
    rows: pd.DataFrame,
    lines: Ragged,
    offers: pd.DataFrame,
    draw: tuple[int, LabelingParams],
) -> Ragged:
    """Return per example items that were on offer at its cut-off and are not in its basket."""
    seed, params = draw
    sold = found.lines.loc[found.lines["n_purchases"] > 0, ["item", "timestamp"]]
    offers = offers.assign(item=pd.Index(found.names).get_indexer(pd.Index(offers["item_id"])))
    hashes = hash_ids(rows["example_id"])
    taken = Ragged(lines.splits, found.lines["item"].to_numpy()[lines.values])
    numbers = rows["window"].to_numpy()
    parts: list[Ragged] = []
    for number, window in enumerate(found.windows):  # the rows are in the order of the windows
        inside = np.flatnonzero(numbers == number)
        pool = on_offer(window, sold, offers, params.on_offer_days)
        part = taken.take(inside)
        parts.append(draw_negatives(pool, part, hashes[inside], params.n_negatives, seed))
    return concat(parts)
