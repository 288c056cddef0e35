"""The benchmark's larger stores hold copies of the shop's users."""

import pandas as pd

from benchmarks.lifecycle.monitoring import copy_users


def test_a_copy_has_the_same_rows_under_other_ids() -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "basket_id": ["1", "2"], "price": [1.0, 2.0]})
    copied = copy_users(frame, 3, ["user_id", "basket_id"])
    assert copied["user_id"].tolist() == ["a", "b", "a~1", "b~1", "a~2", "b~2"]
    assert copied["basket_id"].tolist() == ["1", "2", "1~1", "2~1", "1~2", "2~2"]
    assert copied["price"].tolist() == [1.0, 2.0] * 3
    assert frame["user_id"].tolist() == ["a", "b"]
