"""Select the baskets that become examples, with their protocol and the moment of the request.

- `rolling`: a request at the start of a basket. Training takes a few baskets per user and window,
  drawn by hash; the other splits take all, except for accounts with too many baskets, which are
  sampled as in training.
- `first_basket`: a request at the cut-off for the user's first basket within the horizon; its time
  and store are unknown.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import LabelingParams
from pipeline.contracts.review_ids import example_id
from pipeline.labeling.examples.baskets import count_earlier
from pipeline.labeling.examples.randomness import hash_ids, uniform
from pipeline.labeling.examples.windows import Window

COLUMNS = ["example_id", "split", "protocol", "cutoff", "user_id", "timestamp", "basket_id"]
COLUMNS += ["store_id", "n_earlier_baskets", "window", "basket"]


def build_example_ids(protocol: str, baskets: pd.DataFrame) -> pd.Series:
    """Return the example id of each basket; a basket lies in only one window."""
    pairs = zip(baskets["user_id"], baskets["basket_id"], strict=True)
    names = [example_id(protocol, str(user), str(basket)) for user, basket in pairs]
    return pd.Series(names, index=baskets.index, dtype="str")


def select_rolling(
    baskets: pd.DataFrame, windows: Sequence[Window], params: LabelingParams, seed: int
) -> pd.DataFrame:
    """Return the examples of the rolling protocol.

    Args:
        baskets: From `build_baskets`, with `basket` (position), `window` (-1 for none) and
            `wanted` (whether a label remains at the end of the window).
        windows: Windows that `window` refers to.
        params: Minimum history, and examples per user and window.
        seed: Seed of the draw.
    """
    enough = baskets["n_earlier_baskets"] >= params.minimum_earlier_baskets
    chosen = baskets[(baskets["window"] >= 0) & baskets["wanted"] & enough]
    training = np.array([w.split == "train" for w in windows])[chosen["window"]]
    size = chosen.groupby(["user_id", "window"])["basket"].transform("size")
    few = training | (size > params.maximum_user_baskets).to_numpy()
    drawn = _draw(chosen[few], params.train_examples_per_user_window, seed)
    kept = pd.concat([drawn, chosen[~few]])
    return _examples("rolling", kept, windows, kept["timestamp"])


def _draw(baskets: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    users, ids = hash_ids(baskets["user_id"]), hash_ids(baskets["basket_id"])
    shuffled = baskets.assign(draw=uniform(seed, "training basket", users, ids))
    shuffled = shuffled.sort_values(["user_id", "window", "draw", "basket_id"], kind="stable")
    return shuffled.groupby(["user_id", "window"], sort=False).head(n)


def select_first_baskets(
    baskets: pd.DataFrame, windows: Sequence[Window], params: LabelingParams
) -> pd.DataFrame:
    """Return the examples of the first-basket protocol.

    Args:
        baskets: As in `select_rolling`, with `wanted` at the end of the horizon.
        windows: Windows that `window` refers to.
        params: Minimum history before the cut-off.
    """
    inside = baskets[(baskets["window"] >= 0) & baskets["wanted"]]
    inside = inside[inside["timestamp"] < _moments(inside["window"], windows, "horizon_ends")]
    inside = inside.sort_values(["user_id", "timestamp", "basket_id"], kind="stable")
    first = inside.drop_duplicates(["user_id", "window"])
    cutoffs = _moments(first["window"], windows, "cutoff")
    earlier = count_earlier(baskets, first["user_id"], cutoffs)
    first = first.assign(n_earlier_baskets=earlier)
    enough = earlier >= params.minimum_earlier_baskets
    return _examples("first_basket", first[enough], windows, cutoffs[enough])


def _examples(
    protocol: str, baskets: pd.DataFrame, windows: Sequence[Window], moments: pd.Series
) -> pd.DataFrame:
    splits = np.array([w.split for w in windows], dtype=object)[baskets["window"]]
    return baskets.assign(
        example_id=build_example_ids(protocol, baskets),
        split=pd.Series(splits, index=baskets.index, dtype="str"),
        protocol=pd.Series(protocol, index=baskets.index, dtype="str"),
        cutoff=_moments(baskets["window"], windows, "cutoff"),
        timestamp=moments,
    )[COLUMNS]


def _moments(numbers: pd.Series, windows: Sequence[Window], name: str) -> pd.Series:
    """Return an attribute of each row's window."""
    return window_moments(numbers.to_numpy(), windows, name).set_axis(numbers.index)


def window_moments(
    numbers: npt.NDArray[np.int64], windows: Sequence[Window], name: str
) -> pd.Series:
    """Return the attribute `name` of the windows `numbers`, NaT for -1."""
    moments = pd.to_datetime([getattr(w, name) for w in windows] + [None], utc=True)
    return pd.Series(moments.as_unit("us")[numbers])
