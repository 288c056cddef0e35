"""What monitoring watches: a few numbers of each request and of each answer."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import Requests

RECENT_DAYS = 28.0
INPUTS = ("hour", "weekday", "days_since_last", "recent_lines", "recent_baskets", "recent_price")
OUTPUTS = ("top_share", "score_spread", "repeat_share", "mean_popularity")


def input_signals(requests: Requests) -> pd.DataFrame:
    """Return INPUTS per request; NaN where a request has no recent history."""
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


def output_signals(answers: Recommendations, popularity: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return OUTPUTS per request.

    Scores are only compared within a list: a ranker that learns from lists may add any number to
    all scores of one, so their level says nothing, and changes when it is fitted again.

    Args:
        answers: What was served.
        popularity: [n_items] purchases in the training data.
    """
    there = answers.items > 0
    n_items = np.maximum(there.sum(axis=1), 1)
    own = there & (answers.slots == 0)
    scores = answers.scores.astype(np.float64)
    some = own.any(axis=1)
    highest = np.where(some, np.max(scores, axis=1, initial=-np.inf, where=own), 0.0)
    lowest = np.where(some, np.min(scores, axis=1, initial=np.inf, where=own), 0.0)
    weight = np.exp(np.where(own, scores - highest[:, None], -np.inf)).sum(axis=1)
    shown = np.log1p(popularity[answers.items]) * there
    return pd.DataFrame(
        {
            "top_share": np.where(some, 1.0 / np.maximum(weight, 1.0), np.nan),
            "score_spread": np.where(some, highest - lowest, np.nan),
            "repeat_share": own.sum(axis=1) / n_items,
            "mean_popularity": shown.sum(axis=1) / n_items,
        }
    )
