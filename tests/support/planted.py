"""Faults that several tests plant."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary


def with_labels(requests: Requests, examples: pd.DataFrame, vocabulary: Vocabulary) -> Requests:
    """Return the requests with a quantity of 100 on each purchase of a label."""
    row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    wanted = [set(vocabulary.encode(list(labels)).tolist()) for labels in examples["labels"]]
    is_wanted = [item in wanted[n] for n, item in zip(row, requests.item.tolist(), strict=True)]
    return replace(requests, quantity=np.where(is_wanted, np.float32(100), requests.quantity))
