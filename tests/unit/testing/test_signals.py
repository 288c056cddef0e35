"""Signals, frozen bins and the population stability index, by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.metrics.drift import Bins, bin_shares, frozen_bins, psi
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.signals import INPUTS, OUTPUTS, input_signals, output_signals

NAN = float("nan")


def test_bins_are_cut_at_the_quantiles_of_the_reference() -> None:
    result = frozen_bins(np.arange(1.0, 11.0), 4)
    assert result.edges == (0.999999, 3.25, 5.5, 7.75, 10.0)
    assert result.shares == (0.0, 0.3, 0.2, 0.2, 0.3, 0.0, 0.0)


def test_missing_values_have_a_bin_of_their_own() -> None:
    result = frozen_bins(np.array([1.0, 2.0, NAN, NAN]), 2)
    assert result == Bins(edges=(0.999999, 1.5, 2.0), shares=(0.0, 0.25, 0.25, 0.0, 0.5))


def test_equal_edges_are_merged() -> None:
    result = frozen_bins(np.array([5.0] * 8 + [6.0, 7.0]), 4)
    assert result.shares == (0.0, 0.8, 0.2, 0.0, 0.0)


def test_what_lies_beyond_the_reference_is_seen() -> None:
    result = frozen_bins(np.array([0.8] * 10), 4)
    assert result.compute_shares(np.array([0.0, 0.8, 1.0])).tolist() == [
        1 / 3,
        1 / 3,
        1 / 3,
        0.0,
    ]


def test_nothing_but_missing_values_is_one_empty_bin_and_the_missing_one() -> None:
    assert frozen_bins(np.array([NAN, NAN]), 4) == Bins(edges=(), shares=(0.0, 1.0))


def test_new_values_are_counted_into_the_old_bins() -> None:
    edges = np.array([3.25, 5.5])
    assert bin_shares(np.array([-9.0, 3.25, 5.5, 99.0]), edges).tolist() == [0.5, 0.25, 0.25, 0]
    assert bin_shares(np.zeros(0), edges).tolist() == [0, 0, 0, 0]


def test_psi_of_a_quarter_moved() -> None:
    # (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2)
    expected = 0.25 * np.log(2) + 0.25 * np.log(1.5)
    assert psi(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(expected)


def test_psi_of_equal_shares_is_zero_and_it_has_no_direction() -> None:
    one, other = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.25, 0.25])
    assert psi(one, one) == 0.0
    assert psi(one, other) == pytest.approx(psi(other, one))


def test_an_empty_bin_counts_as_one_in_ten_thousand() -> None:
    expected = -0.5 * np.log(0.5) + (0.5 - 1e-4) * np.log(0.5 / 1e-4)
    assert psi(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(expected)
    assert psi(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0.0


def test_inputs_by_hand() -> None:
    """Ann bought two lines 2 days ago, one 10 and one 40 days ago; Bob nothing."""
    now = pd.Timestamp("2024-02-10T10:00Z")  # a Saturday
    days = [2, 2, 10, 40]
    events = pd.DataFrame(
        {
            "user_id": "ann",
            "item_id": ["milk", "tea", "milk", "tea"],
            "timestamp": [now - pd.Timedelta(days=day) for day in days],
            "event_type": "purchase",
            "quantity": 1.0,
            "price": [1.0, 3.0, 2.0, 50.0],
            "basket_id": [f"b{day}" for day in days],
        }
    )
    histories = build_histories(events, Vocabulary(("milk", "tea")))
    signals = input_signals(build_requests(histories, ["ann", "bob"], pd.Series([now, now])))
    assert tuple(signals.columns) == INPUTS
    assert signals.iloc[0].tolist() == [10.0, 5.0, 2.0, 3.0, 2.0, 2.0]
    np.testing.assert_array_equal(signals.iloc[1], [10.0, 5.0, NAN, 0.0, 0.0, NAN])


def test_outputs_by_hand() -> None:
    answers = Recommendations(
        items=np.array([[1, 2, 3], [3, 0, 0], [0, 0, 0]], dtype=np.int32),
        scores=np.array([[0.9, 0.4, 7.0], [8.0, 0, 0], [0, 0, 0]], dtype=np.float32),
        slots=np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=np.int8),
    )
    signals = output_signals(answers, np.array([0.0, 1.0, 3.0, 0.0]))
    assert tuple(signals.columns) == OUTPUTS
    expected = [1 / (1 + np.exp(-0.5)), 0.5, 2 / 3, (np.log(2) + np.log(4)) / 3]
    np.testing.assert_allclose(signals.iloc[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(signals.iloc[1], [NAN, NAN, 0.0, 0.0])
    np.testing.assert_array_equal(signals.iloc[2], [NAN, NAN, 0.0, 0.0])


def test_a_constant_that_is_added_to_all_scores_changes_nothing() -> None:
    items = np.array([[1, 2, 3]], dtype=np.int32)
    slots = np.zeros((1, 3), dtype=np.int8)
    scores = np.array([[3.0, 1.0, -2.0]], dtype=np.float32)
    one, other = (
        output_signals(Recommendations(items, scores + shift, slots), np.ones(4))
        for shift in (0.0, 40.0)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_judging_needs_no_tensorflow() -> None:
    modules = ("comparison", "gate", "measure", "reference", "report", "signals", "slices")
    names = ", ".join(f"pipeline.testing.{name}" for name in modules)
    code = f"import sys, {names}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
