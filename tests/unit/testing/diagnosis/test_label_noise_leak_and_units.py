"""Label noise, leaks, units and intervals, on candidates and features made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.contracts.family_metrics import FitProbe
from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.intervals import interval, weighted_mean
from pipeline.testing.diagnosis.label_noise import (
    ScoredCandidates,
    check_label_noise,
    estimate_noise_by_group,
    find_contradictions,
    find_suspicious,
)
from pipeline.testing.diagnosis.leak import LeakInputs, check_leak, strongest_feature
from pipeline.testing.diagnosis.units import check_units
from tests.unit.testing.diagnosis.cases import (
    GROUPS,
    N_USERS,
    PROBE,
    look_ahead,
    scored,
)


def test_contradicted_labels_by_hand() -> None:
    one = ScoredCandidates(
        user=np.array([0]),
        row=np.zeros(4, dtype=np.int64),
        item=np.array([1, 2, 3, 4]),
        probability=np.array([0.1, 0.6, 0.05, 0.25]),
        wanted=np.array([True, True, True, False]),
    )
    contradictions = find_contradictions(one, 0.5)
    assert contradictions.surest.tolist() == [True, False, True, False]
    assert contradictions.observed.tolist() == [2.0]
    assert contradictions.by_chance.tolist() == [1.5]  # three labels, half of the candidates
    assert contradictions.expected.tolist() == pytest.approx(
        [0.45]
    )  # three labels, .15 of probability


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.4, 1.0])
def test_the_noise_estimate_is_the_share_of_labels_that_lie_anywhere(
    noise: float, params: DiagnosisParams
) -> None:
    finding = check_label_noise(scored(noise), params)
    value = finding.evidence[0].value
    assert value == pytest.approx(noise, abs=0.12)
    assert finding.verdict == ("suspected" if noise > 0.15 else "healthy")


def test_noise_that_may_be_chance_is_neither_suspected_nor_healthy(
    params: DiagnosisParams,
) -> None:
    """Two shoppers of a hundred requests each: one has errors, so the interval is wide."""
    noisy = scored(0.4)
    clean = scored(0.0)
    wanted = np.where(noisy.row < N_USERS // 2, noisy.wanted, clean.wanted)
    two = replace(noisy, user=np.repeat([0, 1], N_USERS // 2), wanted=wanted)
    assert check_label_noise(two, params).verdict == "unknown"


def test_few_labels_tell_nothing(params: DiagnosisParams) -> None:
    whole = scored(0.5)
    few = ScoredCandidates(
        whole.user[:10], whole.row[:200], whole.item[:200], whole.probability[:200],
        whole.wanted[:200],
    )  # fmt: skip
    assert check_label_noise(few, params).verdict == "unknown"


def test_noise_is_told_apart_by_group() -> None:
    clean, noisy = scored(0.0), scored(0.8, seed=4)
    both = ScoredCandidates(
        user=np.arange(2 * N_USERS),
        row=np.concatenate([clean.row, noisy.row + N_USERS]),
        item=np.concatenate([clean.item, noisy.item]),
        probability=np.concatenate([clean.probability, noisy.probability]),
        wanted=np.concatenate([clean.wanted, noisy.wanted]),
    )
    names = np.repeat(np.array(["good", "bad"], dtype=object), len(clean.row))
    table = estimate_noise_by_group(both, {"source": names}, 0.1)
    assert table["group"].tolist() == ["bad", "good"]
    assert table["labels"].tolist() == [800, 800]
    assert table["noise_fraction"][1] == 0.0
    assert table["noise_fraction"][0] == pytest.approx(0.8, abs=0.25)


def test_the_most_suspicious_label_is_the_least_likely_against_chance() -> None:
    two = ScoredCandidates(
        user=np.array([0, 1]),
        row=np.array([0, 0, 1, 1, 1, 1]),
        item=np.array([1, 2, 1, 2, 3, 4]),
        probability=np.array([0.8, 0.2, 0.15, 0.05, 0.5, 0.3]),
        wanted=np.array([False, True, True, False, False, True]),
    )
    # against a blind guess: .2 * 2 = .4, .15 * 4 = .6, .3 * 4 = 1.2
    assert find_suspicious(two, 10).tolist() == [1, 2, 5]
    assert find_suspicious(two, 1).tolist() == [1]


def test_without_requests_built_anew_a_leak_is_unknown_unless_a_feature_shows_it(
    params: DiagnosisParams,
) -> None:
    assert check_leak(LeakInputs(PROBE.feature_auc, GROUPS), params).verdict == "unknown"
    assert (
        check_leak(LeakInputs(PROBE.feature_auc | {"echo": 1.0}, GROUPS), params).verdict
        == "suspected"
    )


def test_requests_whose_visit_cannot_be_looked_up_are_not_called_their_own(
    params: DiagnosisParams,
) -> None:
    none = replace(look_ahead(), foreign=np.zeros(0, dtype=bool))
    names = [item.name for item in check_leak(LeakInputs({}, {}, none), params).evidence]
    assert names == ["future_in_request", "item_state", "early_items"]


def test_a_feature_is_held_against_the_best_of_other_kinds(params: DiagnosisParams) -> None:
    aucs = {"count": 0.9, "decayed": 0.91, "age": 0.8}
    result = strongest_feature(aucs, GROUPS, params)
    assert result.holds is False  # the error .09 is less than half of .2, that of 'age'
    assert result.bound == pytest.approx(0.9)
    assert strongest_feature(aucs | {"age": 0.85}, GROUPS, params).holds
    assert not strongest_feature({"count": 0.995, "age": 0.994}, GROUPS, params).holds


def test_units_are_judged_only_by_what_was_recorded(params: DiagnosisParams) -> None:
    finding = check_units(FitProbe(dead_fraction=0.9), params)
    assert [item.name for item in finding.evidence] == ["dead_fraction"]
    assert "dead" in finding.cause
    assert check_units(FitProbe(), params).verdict == "unknown"


def test_the_interval_of_a_mean_covers_it_and_narrows_with_users() -> None:
    random = np.random.default_rng(0)
    widths = []
    for n in (50, 5000):
        values = random.normal(1.0, 1.0, n)
        low, high = interval(n, weighted_mean(values, np.arange(n), n))
        assert low < values.mean() < high
        widths.append(high - low)
    # 1.96 standard errors to each side: 2 * 1.96 / sqrt(n)
    assert widths == pytest.approx([0.554, 0.0554], rel=0.15)
