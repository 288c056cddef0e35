"""Faults that more than one test plants."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary


def with_labels(found: Requests, examples: pd.DataFrame, vocabulary: Vocabulary) -> Requests:
    """Return the requests with a hundred units on each purchase of what will be wanted."""
    row = np.repeat(np.arange(len(found)), np.diff(found.row_splits))
    wanted = [set(vocabulary.encode(list(labels)).tolist()) for labels in examples["labels"]]
    is_wanted = [item in wanted[n] for n, item in zip(row, found.item.tolist(), strict=True)]
    return replace(found, quantity=np.where(is_wanted, np.float32(100), found.quantity))
