"""Build the labelled set: windows, baskets, examples, and the lists of each example."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.contracts import schemas
from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.labeling.examples.baskets import assign_windows, build_baskets, compute_relevance
from pipeline.labeling.examples.carts import draw_cart_sizes, take_prefix
from pipeline.labeling.examples.negatives import draw_negatives, select_on_offer
from pipeline.labeling.examples.ragged import Longs, Ragged, concatenate
from pipeline.labeling.examples.randomness import hash_ids, uniform
from pipeline.labeling.examples.selection import (
    select_first_baskets,
    select_rolling,
    window_moments,
)
from pipeline.labeling.examples.windows import Window, build_windows, check_examples, check_windows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baskets:
    """All baskets ordered by user and basket, with their lines.

    Attributes:
        windows: Label windows.
        lines: From `build_basket_lines`, with `item` (its position in `names`) and `basket`.
        baskets: From `build_baskets`, with `basket` (position) and `window` (-1 for none).
        names: Item ids, ascending.
    """

    windows: tuple[Window, ...]
    lines: pd.DataFrame
    baskets: pd.DataFrame
    names: npt.NDArray[np.object_]


@dataclass(frozen=True)
class Labelled:
    """The examples, one row each, with their lists.

    Attributes:
        source: Baskets of the examples.
        rows: Scalar columns of schemas.EXAMPLES, with `window` and `basket`.
        labels: Positions of lines, ascending by item.
        relevance: Weight of each label.
        cart: Positions of lines in the order of the cart.
        negatives: Positions of item names, ascending.
    """

    source: Baskets
    rows: pd.DataFrame
    labels: Ragged
    relevance: Ragged
    cart: Ragged
    negatives: Ragged

    def items(self, lines: Ragged) -> Ragged:
        """Convert lists of line positions to lists of item positions."""
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


def gather_baskets(
    lines: pd.DataFrame, offers: pd.DataFrame, shop: ShopParams, params: LabelingParams
) -> Baskets:
    """Return the baskets of `lines` with their windows.

    Args:
        lines: From `build_basket_lines`.
        offers: schemas.OFFERS; promoted items get a position even if never sold.
        shop: Position of the windows in time.
        params: Length of the windows.

    Raises:
        DataQualityError: The windows reach beyond the data, or a window has no basket.
    """
    first, last = lines["timestamp"].min(), lines["timestamp"].max()
    windows = build_windows(shop, params, first=first, last=last)
    baskets = build_baskets(lines)
    numbers = assign_windows(baskets, windows)
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


def label_baskets(
    source: Baskets,
    offers: pd.DataFrame,
    dropped: npt.NDArray[np.bool_],
    shop: ShopParams,
    params: LabelingParams,
) -> Labelled:
    """Return the examples of all windows, ordered by window, protocol, user and basket.

    Args:
        source: All baskets.
        offers: schemas.OFFERS; promoted items count as on offer.
        dropped: [n_lines] whether a reviewer drops the label.
        shop: Seed.
        params: Parameters of the examples.
    """
    at_end = _relevance(source, "ends", dropped, params)
    at_horizon = _relevance(source, "horizon_ends", dropped, params)
    rows = pd.concat(
        [
            select_rolling(_with_wanted(source, at_end), source.windows, params, shop.seed),
            select_first_baskets(_with_wanted(source, at_horizon), source.windows, params),
        ]
    )
    order = ["window", "protocol", "user_id", "basket_id"]
    rows = rows.sort_values(order, kind="stable", ignore_index=True)
    counts = np.bincount(rows["window"], minlength=len(source.windows)).tolist()
    check_examples(source.windows, counts, params.minimum_earlier_baskets)
    lines = _lines_of(source, rows)
    at_request = (rows["protocol"] == "rolling").to_numpy()[lines.rows()]
    weights = np.where(at_request, at_end[lines.values], at_horizon[lines.values])
    wanted = lines.where(weights > 0)
    cart = _carts(source, rows, wanted, shop.seed, params)
    left = ~np.isin(_keys(wanted, len(source.lines)), _keys(cart, len(source.lines)))
    return Labelled(
        source=source,
        rows=rows,
        labels=wanted.where(left),
        relevance=Ragged(wanted.splits, weights[weights > 0]).where(left),
        cart=cart,
        negatives=_negatives(source, rows, lines, offers, (shop.seed, params)),
    )


def _relevance(
    source: Baskets, closes: str, dropped: npt.NDArray[np.bool_], params: LabelingParams
) -> Floats:
    """Return [n_lines] relevance, 0 outside the windows and for dropped labels."""
    numbers = source.baskets["window"].to_numpy()[source.lines["basket"]]
    moments = window_moments(numbers, source.windows, closes)
    return np.where(dropped, 0.0, compute_relevance(source.lines, moments, params))


def _with_wanted(source: Baskets, relevance: Floats) -> pd.DataFrame:
    wanted = np.bincount(source.lines["basket"], weights=relevance, minlength=len(source.baskets))
    return source.baskets.assign(wanted=wanted > 0)


def _lines_of(source: Baskets, rows: pd.DataFrame) -> Ragged:
    """Return the lines of each example's basket."""
    positions = np.arange(len(source.lines), dtype=np.int64)
    every = Ragged.from_rows(source.lines["basket"].to_numpy(), positions, len(source.baskets))
    return every.take(rows["basket"].to_numpy())


def _carts(
    source: Baskets, rows: pd.DataFrame, wanted: Ragged, seed: int, params: LabelingParams
) -> Ragged:
    """Return the lines in each example's cart."""
    hashes = hash_ids(rows["example_id"])
    training = ((rows["split"] == "train") & (rows["protocol"] == "rolling")).to_numpy()
    sizes = draw_cart_sizes(wanted.lengths(), training, hashes, params.cart_fraction, seed)
    items = hash_ids(pd.Series(source.names))[source.lines["item"].to_numpy()[wanted.values]]
    ties = uniform(seed, "cart order", hashes[wanted.rows()], items)
    moments = source.lines["timestamp"].astype("int64").to_numpy()[wanted.values]
    return take_prefix(wanted, moments, ties, sizes)


def _keys(lines: Ragged, n_lines: int) -> Longs:
    """Return a unique number per example and line."""
    return np.asarray(lines.rows() * n_lines + lines.values)


def _negatives(
    source: Baskets,
    rows: pd.DataFrame,
    lines: Ragged,
    offers: pd.DataFrame,
    draw: tuple[int, LabelingParams],
) -> Ragged:
    """Return negatives: items on offer at the cut-off that are not in the example's basket."""
    seed, params = draw
    sold = source.lines.loc[source.lines["n_purchases"] > 0, ["item", "timestamp"]]
    offers = offers.assign(item=pd.Index(source.names).get_indexer(pd.Index(offers["item_id"])))
    hashes = hash_ids(rows["example_id"])
    taken = Ragged(lines.splits, source.lines["item"].to_numpy()[lines.values])
    numbers = rows["window"].to_numpy()
    parts: list[Ragged] = []
    for number, window in enumerate(source.windows):  # the rows are in the order of the windows
        inside = np.flatnonzero(numbers == number)
        pool = select_on_offer(window, sold, offers, params.on_offer_days)
        part = taken.take(inside)
        parts.append(draw_negatives(pool, part, hashes[inside], params.n_negatives, seed))
    return concatenate(parts)
