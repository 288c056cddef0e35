"""Signals that monitoring watches: a few numbers of each request and each prediction."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import Requests

RECENT_DAYS = 28.0
INPUTS = ("hour", "weekday", "days_since_last", "recent_lines", "recent_baskets", "recent_price")
OUTPUTS = ("top_share", "score_spread", "repeat_share", "mean_popularity")


def input_signals(requests: Requests) -> pd.DataFrame:
    """Return INPUTS per request, NaN without recent history."""
    n = len(requests)
    row = np.repeat(np.arange(n), np.diff(requests.row_splits))
    newest = np.full(n, np.inf)
    np.minimum.at(newest, row, requests.age_days)
    recent = requests.age_days <= RECENT_DAYS
    lines = np.bincount(row[recent], minlength=n)
    baskets = np.zeros(n)
    np.maximum.at(baskets, row[recent], requests.baskets_ago[recent] + 1)
    paid = np.bincount(row[recent], weights=requests.price[recent], minlength=n)
    return pd.DataFrame(
        {
            "hour": requests.local_hour,
            "weekday": requests.local_weekday,
            "days_since_last": np.where(np.isfinite(newest), newest, np.nan),
            "recent_lines": lines,
            "recent_baskets": baskets,
            "recent_price": np.where(lines > 0, paid / np.maximum(lines, 1), np.nan),
        }
    ).astype(float)


def output_signals(
    predictions: Recommendations, popularity: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Return OUTPUTS per request.

    Scores are compared only within a list: a listwise ranker may shift all scores of a list by any
    number, so their level is arbitrary and changes with each fit.

    Args:
        predictions: Served lists.
        popularity: [n_items] purchases in the training data.
    """
    is_item = predictions.items > 0
    n_items = np.maximum(is_item.sum(axis=1), 1)
    is_repeat = is_item & (predictions.slots == 0)
    scores = predictions.scores.astype(np.float64)
    has_repeat = is_repeat.any(axis=1)
    highest = np.where(has_repeat, np.max(scores, axis=1, initial=-np.inf, where=is_repeat), 0.0)
    lowest = np.where(has_repeat, np.min(scores, axis=1, initial=np.inf, where=is_repeat), 0.0)
    weight = np.exp(np.where(is_repeat, scores - highest[:, None], -np.inf)).sum(axis=1)
    shown = np.log1p(popularity[predictions.items]) * is_item
    return pd.DataFrame(
        {
            "top_share": np.where(has_repeat, 1.0 / np.maximum(weight, 1.0), np.nan),
            "score_spread": np.where(has_repeat, highest - lowest, np.nan),
            "repeat_share": is_repeat.sum(axis=1) / n_items,
            "mean_popularity": shown.sum(axis=1) / n_items,
        }
    )
