"""Purchases as sequences, on histories small enough to read."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.sequence.sequences import WindowBatches, assign_codes, build_sequences

START = datetime(2024, 1, 1, tzinfo=UTC)
VOCABULARY = Vocabulary(tuple("abcdefgh"))


def histories(baskets: dict[str, list[str]]) -> Histories:
    """One basket a day: {"ann": ["ab", "c"]} buys a and b on the first day, c on the second."""
    rows = [
        {
            "user_id": user,
            "item_id": item,
            "timestamp": START + timedelta(days=day),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 1.0,
            "basket_id": f"{user}-{day}",
        }
        for user, days in baskets.items()
        for day, items in enumerate(days)
        for item in items
    ]
    return build_histories(pd.DataFrame(rows), VOCABULARY)


def day(number: int) -> float:
    return (START + timedelta(days=number)).timestamp()


ALL = np.arange(9, dtype=np.int32)


def test_lines_are_in_order_of_time_and_point_to_the_next_basket() -> None:
    sequences = build_sequences(
        histories({"ann": ["da", "c", "b"], "bob": ["e", "f"]}), ALL, day(9), 10
    )
    assert sequences.code.tolist() == [1, 4, 3, 2, 5, 6]
    assert sequences.next_count.tolist() == [1, 1, 1, 0, 1, 0]
    assert sequences.next_start[sequences.next_count > 0].tolist() == [2, 2, 3, 5]
    assert sequences.n_tokens == 4


def test_nothing_from_the_end_on_is_used() -> None:
    sequences = build_sequences(histories({"ann": ["a", "b", "c", "d"]}), ALL, day(3), 10)
    assert sequences.code.tolist() == [1, 2, 3]


def test_windows_are_cut_from_the_end() -> None:
    sequences = build_sequences(histories({"ann": list("abcdefgh")}), ALL, day(9), 3)
    pairs = sorted(
        zip(sequences.window_start.tolist(), sequences.window_length.tolist(), strict=True)
    )
    assert pairs == [(0, 1), (1, 3), (4, 3)]  # seven lines have a next basket


def test_only_the_items_bought_most_have_a_code() -> None:
    bought = histories({"ann": ["a", "b", "c", "b", "c"], "bob": ["c", "h"]})
    codes = assign_codes(bought, len(VOCABULARY), day(9), 2)
    assert codes.tolist() == [0, 0, 1, 2, 0, 0, 0, 0, 0]


def test_an_item_that_did_not_sell_yet_has_no_code() -> None:
    bought = histories({"ann": ["a", "b", "c"]})
    assert assign_codes(bought, len(VOCABULARY), day(2), 10).tolist() == [0, 1, 2, *[0] * 6]


def test_batches_hold_each_line_once_beside_an_item_of_its_next_basket() -> None:
    random = np.random.default_rng(3)
    bought = {
        f"user-{n}": ["".join(random.permutation(list("abcdefgh"))[:2]) for _ in range(2 + n)]
        for n in range(30)
    }
    sequences = build_sequences(histories(bought), ALL, day(99), 16)
    windows = WindowBatches(sequences, 16, 4)
    batches = list(windows.batches(np.random.default_rng(0)))
    assert len(batches) == windows.n_batches
    assert sum(codes.size for codes, _, _ in batches) == windows.n_cells
    assert {codes.shape[1] for codes, _, _ in batches} <= set(windows.widths)
    assert max(codes.size for codes, _, _ in batches) <= 4 * 16
    tokens = np.concatenate([codes[weights > 0] for codes, _, weights in batches])
    inside = sequences.code[sequences.next_count > 0]
    np.testing.assert_array_equal(np.bincount(tokens), np.bincount(inside))
    for codes, targets, weights in batches:
        for row in range(len(codes)):
            n = int(weights[row].sum())
            assert not codes[row, n:].any()
            assert not targets[row, n:].any()


def test_a_target_is_drawn_from_the_whole_next_basket() -> None:
    windows = WindowBatches(build_sequences(histories({"ann": ["a", "bcd"]}), ALL, day(9), 8), 8, 1)
    drawn = {
        int(targets[0, 0])
        for seed in range(40)
        for _, targets, _ in windows.batches(np.random.default_rng(seed))
    }
    assert drawn == {2, 3, 4}


def test_a_target_without_a_code_weighs_nothing() -> None:
    codes = np.array([0, 1, 0, 2, 0, 0, 0, 0, 0], dtype=np.int32)
    windows = WindowBatches(
        build_sequences(histories({"ann": ["a", "b", "c"]}), codes, day(9), 8), 8, 1
    )
    ((items, targets, weights),) = windows.batches(np.random.default_rng(0))
    assert items[0, :2].tolist() == [1, 0]
    assert targets[0, :2].tolist() == [0, 2]
    assert weights[0, :2].tolist() == [0.0, 1.0]
    assert weights.sum() == 1.0


def test_the_same_generator_gives_the_same_batches() -> None:
    windows = WindowBatches(
        build_sequences(histories({"ann": ["ab", "cd", "ef", "gh"]}), ALL, day(9), 8), 8, 2
    )
    one, other = (list(windows.batches(np.random.default_rng(5))) for _ in range(2))
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("baskets", [{"ann": ["ab"]}, {"ann": ["a"], "bob": ["b"]}])
def test_without_a_second_basket_there_is_nothing_to_learn(baskets: dict[str, list[str]]) -> None:
    with pytest.raises(TrainingError, match="two baskets"):
        build_sequences(histories(baskets), ALL, day(9), 8)


def test_windows_of_about_the_same_length_are_batched_together() -> None:
    """Eight windows of three lines and one of eight; a batch has 16 cells."""
    bought = {f"user-{n}": ["a"] * 4 for n in range(8)} | {"long": ["b"] * 9}
    windows = WindowBatches(build_sequences(histories(bought), ALL, day(99), 8), 8, 2)
    assert windows.widths == (4, 6, 8)
    assert windows.n_batches == 3
    results = [codes.shape for codes, _, _ in windows.batches(np.random.default_rng(0))]
    assert sorted(results) == [(2, 8), (4, 4), (4, 4)]


def test_windows_too_few_for_a_batch_join_wider_ones() -> None:
    windows = WindowBatches(
        build_sequences(histories({"ann": ["a"] * 4, "bob": ["b"] * 9}), ALL, day(99), 8), 8, 2
    )
    assert [codes.shape for codes, _, _ in windows.batches(np.random.default_rng(0))] == [(2, 8)]
