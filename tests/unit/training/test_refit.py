from typing import Any

import pytest

from pipeline.recommenders.base.training_data import TrainingData
from pipeline.training.refit import thin_examples


def test_the_last_windows_weigh_no_more_than_the_first(small_shop: TrainingData) -> None:
    thinned = thin_examples(small_shop).train
    assert thinned.groupby(["split", "protocol"]).size().to_dict() == {
        ("test", "first_basket"): 1,
        ("test", "rolling"): 1,
        ("train", "rolling"): 1,
    }


@pytest.fixture
def small_shop() -> TrainingData:
    import pandas as pd

    examples = pd.DataFrame(
        {
            "example_id": ["1", "2", "3", "4"],
            "user_id": "a",
            "split": ["train", "test", "test", "test"],
            "cutoff": [1, 2, 2, 2],
            "protocol": ["rolling", "rolling", "rolling", "first_basket"],
        }
    )
    empty: Any = None
    return TrainingData(0.0, "UTC", empty, empty, empty, empty, empty, examples, examples[:0])
