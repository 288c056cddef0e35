"""Each disease made by hand in arrays: exactly that one is suspected, with the phase that cures."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.contracts.params import DiagnosisParams, read_params
from pipeline.testing.diagnosis.data_size import doubling_gains, too_little_data
from pipeline.testing.diagnosis.diagnose import Inputs, diagnose
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown
from pipeline.testing.diagnosis.fit_quality import (
    GeneralizationGap,
    Side,
    lost_lead,
    overfit,
    underfit,
)
from pipeline.testing.diagnosis.intervals import interval, weighted_mean
from pipeline.testing.diagnosis.label_noise import (
    Judged,
    contradicted,
    label_noise,
    noise_by_group,
    suspicious,
)
from pipeline.testing.diagnosis.leak import Clues, Foresight, leak, strongest_feature
from pipeline.testing.diagnosis.units import units
from tests.support.tiny_shop import PROJECT

N_USERS, N_CANDIDATES = 200, 20
GROUPS = {"frequency": ("count", "decayed"), "timing": ("age",)}
PROBE: dict[str, Any] = {
    "loss_at_start": 3.1,
    "expected_loss_at_start": 3.0,
    "loss_at_end": 2.0,
    "gradient_median": 0.3,
    "gradient_ratio": 10.0,
    "dead_fraction": 0.1,
    "saturated_fraction": 0.01,
    "batch_loss_left": 0.02,
    "feature_auc": {"count": 0.8, "decayed": 0.82, "age": 0.78},
    "learning_curve": [
        {"fraction": 0.25, "score": 0.19},
        {"fraction": 0.5, "score": 0.2},
        {"fraction": 1.0, "score": 0.2005},
    ],
    "last_gain": {"difference": 0.0005, "error": 0.0004},
}
CURVE = [
    {"epoch": 1, "loss": 2.4, "validation": 0.19},
    {"epoch": 2, "loss": 2.2, "validation": 0.2},
    {"epoch": 3, "loss": 2.1, "validation": 0.1995},
]


@pytest.fixture(scope="module")
def params() -> DiagnosisParams:
    return read_params(PROJECT / "params.yaml").testing.diagnosis


def side(model: float, counting: float, seed: int) -> Side:
    """Requests of N_USERS, five each, around these means."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(N_USERS), 5)
    base = random.uniform(-0.05, 0.05, len(user))
    return Side(user, model + base, counting + base + random.uniform(-0.02, 0.02, len(user)))


def seen(
    train: tuple[float, float] = (0.21, 0.19), unseen: tuple[float, float] = (0.2, 0.185)
) -> GeneralizationGap:
    return GeneralizationGap(side(*train, seed=1), side(*unseen, seed=2))


def judged(noise: float, seed: int = 3) -> Judged:
    """Four of the ten most likely candidates are wanted; `noise` of the labels lie anywhere."""
    random = np.random.default_rng(seed)
    row = np.repeat(np.arange(N_USERS), N_CANDIDATES)
    probability = np.tile(np.geomspace(1.0, 1e-4, N_CANDIDATES), N_USERS)
    probability /= probability[:N_CANDIDATES].sum()
    wanted = np.zeros((N_USERS, N_CANDIDATES), dtype=bool)
    for own in wanted:
        own[random.permutation(10)[:4]] = True
        for at in np.flatnonzero(own):
            if random.random() < noise:
                own[at] = False
                own[random.choice(np.flatnonzero(~own))] = True
    item = np.tile(np.arange(1, N_CANDIDATES + 1), N_USERS)
    return Judged(np.arange(N_USERS), row, item, probability, wanted.ravel())


def foresight(
    changed: int = 0, foreign: int = 0, state_difference: float = 0.0, n_early_items: int = 0
) -> Foresight:
    """Ten requests, of which the first ones are not as they should be."""
    return Foresight(np.arange(10) < changed, np.arange(10) < foreign, state_difference,
                     n_early_items)  # fmt: skip


def inputs(**changes: Any) -> Inputs:
    sound = Inputs(PROBE, CURVE, GROUPS, seen(), judged(0.0), foresight())
    return replace(sound, **changes)


def suspected(findings: tuple[Finding, ...]) -> dict[str, str | None]:
    return {f.name: f.target_phase for f in findings if f.verdict == "suspected"}


def test_a_sound_fit_has_no_disease(params: DiagnosisParams) -> None:
    found = diagnose(inputs(), params)
    assert [finding.verdict for finding in found] == ["healthy"] * 6
    assert all(item.holds for finding in found for item in finding.evidence)
    assert len({finding.name for finding in found}) == 6


FAULTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "memorised": ({"seen": seen(train=(0.4, 0.19))}, {"overfit": "training"}),
    "behind counting": (
        {"seen": seen(train=(0.18, 0.19), unseen=(0.17, 0.185))},
        {"underfit": "training"},
    ),
    "stopped too early": (
        {"curve": [CURVE[0], {"epoch": 2, "loss": 2.2, "validation": 0.21}]},
        {"underfit": "training"},
    ),
    "wrong labels": ({"judged": judged(0.3)}, {"label_noise": "labeling"}),
    "few shoppers": (
        {
            "probe": PROBE
            | {
                "learning_curve": [
                    {"fraction": 0.25, "score": 0.14},
                    {"fraction": 0.5, "score": 0.17},
                    {"fraction": 1.0, "score": 0.2},
                ],
                "last_gain": {"difference": 0.03, "error": 0.002},
            }
        },
        {"too_little_data": "collection"},
    ),
    "label as a feature": (
        {"probe": PROBE | {"feature_auc": PROBE["feature_auc"] | {"echo": 1.0}}},
        {"leak": "collection"},
    ),
    "label in two features of two kinds": (
        {"probe": PROBE | {"feature_auc": PROBE["feature_auc"] | {"echo": 0.98, "again": 0.97}}},
        {"leak": "collection"},
    ),
    "future in a request": ({"foresight": foresight(changed=1)}, {"leak": "labeling"}),
    "store of another visit": ({"foresight": foresight(foreign=1)}, {"leak": "labeling"}),
    "state of later": ({"foresight": foresight(state_difference=0.7)}, {"leak": "labeling"}),
    "items of later": ({"foresight": foresight(n_early_items=1)}, {"leak": "labeling"}),
    "dead": (
        {"probe": PROBE | {"dead_fraction": 1.0, "gradient_median": 0.0, "batch_loss_left": 1.0}},
        {"units": "training"},
    ),
    "exploding": (
        {"probe": PROBE | {"gradient_ratio": 1e6, "loss_at_end": 50.0}},
        {"units": "training"},
    ),
    "wrong scale": ({"probe": PROBE | {"loss_at_start": 30.0}}, {"units": "training"}),
    "not a number": ({"probe": PROBE | {"gradient_ratio": np.inf}}, {"units": "training"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone_with_the_phase_that_cures_it(
    fault: str, params: DiagnosisParams
) -> None:
    changes, expected = FAULTS[fault]
    found = diagnose(inputs(**changes), params)
    assert suspected(found) == expected
    finding = next(each for each in found if each.name in expected)
    assert finding.action
    assert any(not item.holds for item in finding.evidence)


def test_what_a_disease_makes_unreadable_is_unknown(params: DiagnosisParams) -> None:
    verdicts = {f.name: f.verdict for f in diagnose(inputs(foresight=foresight(3)), params)}
    assert verdicts == {
        "leak": "suspected",
        "units": "healthy",
        "overfit": "unknown",
        "underfit": "unknown",
        "label_noise": "unknown",
        "too_little_data": "unknown",
    }
    behind = seen(train=(0.18, 0.19), unseen=(0.17, 0.185))
    verdicts = {f.name: f.verdict for f in diagnose(inputs(seen=behind), params)}
    assert (verdicts["label_noise"], verdicts["too_little_data"]) == ("healthy", "healthy")


def test_a_model_that_learned_badly_acquits_labels_but_does_not_accuse_them(
    params: DiagnosisParams,
) -> None:
    early = [CURVE[0], {"epoch": 2, "loss": 2.2, "validation": 0.21}]
    for noise, verdict in ((0.0, "healthy"), (0.4, "unknown")):
        found = {f.name: f for f in diagnose(inputs(curve=early, judged=judged(noise)), params)}
        assert found["underfit"].verdict == "suspected"
        assert found["label_noise"].verdict == verdict
        assert found["label_noise"].evidence[0].value == pytest.approx(noise, abs=0.12)


def test_a_healthy_finding_holds_in_all_its_numbers() -> None:
    with pytest.raises(ValueError, match="got \\['x'\\] beyond it"):
        healthy("overfit", (at_most("x", 2.0, 1.0),), "Fine.")


def test_a_verdict_shows_what_is_suspected_or_unknown() -> None:
    number = at_most("last_epoch_gain_fraction", 0.0129, 0.01, "gain")
    fine = at_most("lead", 0.0, 1.0)
    suspected = Finding("underfit", "suspected", (fine, number), "It rose.", "training", "More.")
    (shown,) = suspected.open_evidence()
    assert (shown.name, shown.value, shown.bound) == (
        "underfit: last_epoch_gain_fraction", 0.0129, 0.01,
    )  # fmt: skip
    assert (shown.gates, shown.holds, shown.note) == (False, False, "It rose. gain")
    (shown,) = unknown("label_noise", "Too few labels.").open_evidence()
    assert (shown.name, shown.value, shown.holds, shown.gates, shown.note) == (
        "label_noise", None, False, False, "Too few labels.",
    )  # fmt: skip
    (shown,) = unknown("overfit", "Chance.", (at_most("lost", 0.2, 0.1),)).open_evidence()
    assert (shown.value, shown.note) == (None, "Chance. lost: 0.2 against the bound 0.1")
    assert healthy("leak", (fine,), "").open_evidence() == ()


def test_nothing_measured_is_unknown_and_never_healthy(params: DiagnosisParams) -> None:
    assert {finding.verdict for finding in diagnose(Inputs(), params)} == {"unknown"}


def test_a_finding_is_plain_values_for_a_file(params: DiagnosisParams) -> None:
    found = leak(Clues({}, {}, foresight(10)), params).as_dict()
    assert found["verdict"] == "suspected"
    assert found["evidence"][0]["value"] == 1.0


def test_a_value_that_is_not_finite_never_holds() -> None:
    assert not at_most("x", float("nan"), 1.0).holds
    assert at_most("x", 1.0, 1.0).holds


def test_the_lost_lead_is_a_difference_of_differences() -> None:
    user = np.array([0, 1])
    train = Side(user, np.array([0.5, 0.7]), np.array([0.3, 0.3]))  # ahead by .3
    unseen = Side(user, np.array([0.4, 0.4]), np.array([0.2, 0.4]))  # ahead by .1
    gap, low, high = lost_lead(GeneralizationGap(train, unseen))
    assert gap == pytest.approx(0.2)
    assert low <= gap <= high


def test_a_gap_that_may_be_chance_is_neither_overfit_nor_healthy(params: DiagnosisParams) -> None:
    random = np.random.default_rng(0)
    user = np.arange(20)
    train = Side(user, random.uniform(0, 1, 20), np.full(20, 0.4))
    unseen = Side(user, random.uniform(0, 1, 20) - 0.1, np.full(20, 0.4))
    assert overfit(GeneralizationGap(train, unseen), params).verdict == "unknown"


def test_weeks_that_are_harder_for_everyone_are_not_overfit(params: DiagnosisParams) -> None:
    assert overfit(seen(train=(0.4, 0.38)), params).verdict == "healthy"


def test_a_lead_that_was_never_there_is_not_lost(params: DiagnosisParams) -> None:
    behind = overfit(seen(train=(0.19, 0.195), unseen=(0.15, 0.185)), params)
    assert (behind.verdict, behind.evidence[0].holds) == ("unknown", False)


@pytest.mark.parametrize(
    ("validation", "verdict"),
    [
        ([0.2, 0.2026], "suspected"),  # the second and last epoch brought 1.3 %
        ([0.2, 0.2018], "healthy"),  # 0.9 %
        ([0.19, 0.2, 0.2026], "suspected"),
        ([0.19, 0.2, 0.1999, 0.1998], "healthy"),  # stopped by patience: its best is before
        ([0.2], "unknown"),  # one epoch has nothing to rise from
        ([None, None], "unknown"),
    ],
)
def test_a_fit_was_stopped_too_early_when_its_last_epoch_is_its_best_by_far(
    validation: list[float | None], verdict: str, params: DiagnosisParams
) -> None:
    curve = [{"epoch": n, "loss": 2.0, "validation": each} for n, each in enumerate(validation, 1)]
    assert underfit(seen(), curve, params).verdict == verdict


def test_a_loss_that_does_not_fall_hides_no_underfit(params: DiagnosisParams) -> None:
    """The loss of an adversarial family may rise while its lists get better."""
    curve = [CURVE[0], {"epoch": 2, "loss": 2.5, "validation": 0.25}]
    assert underfit(seen(), curve, params).verdict == "suspected"


def test_behind_counting_is_underfit_whatever_the_curve_tells(params: DiagnosisParams) -> None:
    behind = seen(train=(0.18, 0.19), unseen=(0.17, 0.185))
    assert underfit(behind, [], params).verdict == "suspected"


def test_gains_per_doubling_by_hand() -> None:
    points = [
        {"fraction": 0.0625, "score": 0.1},
        {"fraction": 0.25, "score": 0.14},  # two doublings that bring .04
        {"fraction": 1.0, "score": 0.16},  # two that bring half of it: each .5^.5 of the last
    ]
    # x + x / r = .02 with r = .5^.5: the last brings x = .02 / (1 + 2^.5), the next r times that
    last = 0.02 / (1 + 2**0.5)
    assert doubling_gains(points) == pytest.approx((last, last * 0.5**0.5))
    falling = [{"fraction": f, "score": s} for f, s in ((0.25, 0.2), (0.5, 0.1), (1.0, 0.12))]
    assert doubling_gains(falling) == pytest.approx((0.02, 0.02))
    rising = [{"fraction": f, "score": s} for f, s in ((0.25, 0.1), (0.5, 0.12), (1.0, 0.16))]
    assert doubling_gains(rising) == pytest.approx((0.04, 0.04))
    lost = [{"fraction": f, "score": s} for f, s in ((0.25, 0.1), (0.5, 0.16), (1.0, 0.12))]
    assert doubling_gains(lost) == pytest.approx((-0.04, -0.04))


FRACTIONS = [(0.05, 0.2, 1.0), (0.25, 0.5, 1.0), (0.1, 0.9, 1.0), (0.02, 0.03, 1.0)]


@pytest.mark.parametrize("fractions", FRACTIONS)
@pytest.mark.parametrize("r", [0.05, 0.5, 0.8, 0.99])
def test_the_next_doubling_of_a_geometric_curve_is_exact(
    fractions: tuple[float, ...], r: float
) -> None:
    """limit - .05 * r^doublings: the next doubling brings .05 * (1 - r), the last 1 / r of that."""
    points = [{"fraction": f, "score": 0.25 - 0.05 * r ** math.log2(f)} for f in fractions]
    expected = (0.05 * (1 / r - 1), 0.05 * (1 - r))
    assert doubling_gains(points) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fractions", FRACTIONS)
@pytest.mark.parametrize("exponent", [0.1, 0.5, 2.0])
def test_the_next_doubling_of_a_power_law_is_exact(
    fractions: tuple[float, ...], exponent: float
) -> None:
    """limit - .05 * size^-exponent, with size 1 now: the next doubling ends at size 2."""
    points = [{"fraction": f, "score": 0.25 - 0.05 * f**-exponent} for f in fractions]
    assert doubling_gains(points)[1] == pytest.approx(0.05 * (1 - 2**-exponent), rel=1e-5)


def test_the_champion_of_november_asks_for_more_shoppers(params: DiagnosisParams) -> None:
    """Its curve was called healthy by .00995 when two doublings shrank what is one's."""
    shares = ((0.05, 0.2001792), (0.2, 0.21169131), (1.0, 0.2199329))
    probe = {
        "learning_curve": [{"fraction": f, "score": s} for f, s in shares],
        "last_gain": {"difference": 0.00824159, "error": 0.00167887},
    }
    found = too_little_data(probe, params)
    assert found.verdict == "suspected"
    assert found.evidence[0].value == pytest.approx(0.0110, abs=5e-5)


def test_a_gain_that_may_be_chance_neither_asks_for_data_nor_is_healthy(
    params: DiagnosisParams,
) -> None:
    rising = FAULTS["few shoppers"][0]["probe"]
    unsure = rising | {"last_gain": {"difference": 0.03, "error": 0.02}}
    assert too_little_data(rising, params).verdict == "suspected"
    assert too_little_data(unsure, params).verdict == "unknown"
    level = [{"fraction": f, "score": 0.2} for f in (0.25, 0.5, 1.0)]
    flat = {"learning_curve": level, "last_gain": {"difference": 0.0, "error": 0.02}}
    assert too_little_data(flat, params).verdict == "healthy"
    assert too_little_data({}, params).verdict == "unknown"


def test_contradicted_labels_by_hand() -> None:
    one = Judged(
        user=np.array([0]),
        row=np.zeros(4, dtype=np.int64),
        item=np.array([1, 2, 3, 4]),
        probability=np.array([0.1, 0.6, 0.05, 0.25]),
        wanted=np.array([True, True, True, False]),
    )
    found = contradicted(one, 0.5)
    assert found.surest.tolist() == [True, False, True, False]
    assert found.found.tolist() == [2.0]
    assert found.by_chance.tolist() == [1.5]  # three labels, half of the candidates
    assert found.expected.tolist() == pytest.approx([0.45])  # three labels, .15 of probability


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.4, 1.0])
def test_the_noise_estimate_is_the_share_of_labels_that_lie_anywhere(
    noise: float, params: DiagnosisParams
) -> None:
    finding = label_noise(judged(noise), params)
    value = finding.evidence[0].value
    assert value == pytest.approx(noise, abs=0.12)
    assert finding.verdict == ("suspected" if noise > 0.15 else "healthy")


def test_noise_that_may_be_chance_is_neither_suspected_nor_healthy(
    params: DiagnosisParams,
) -> None:
    """Two shoppers of a hundred requests each: one has errors, so the interval is wide."""
    noisy = judged(0.4)
    clean = judged(0.0)
    wanted = np.where(noisy.row < N_USERS // 2, noisy.wanted, clean.wanted)
    two = replace(noisy, user=np.repeat([0, 1], N_USERS // 2), wanted=wanted)
    assert label_noise(two, params).verdict == "unknown"


def test_few_labels_tell_nothing(params: DiagnosisParams) -> None:
    whole = judged(0.5)
    few = Judged(
        whole.user[:10], whole.row[:200], whole.item[:200], whole.probability[:200],
        whole.wanted[:200],
    )  # fmt: skip
    assert label_noise(few, params).verdict == "unknown"


def test_noise_is_told_apart_by_group() -> None:
    clean, noisy = judged(0.0), judged(0.8, seed=4)
    both = Judged(
        user=np.arange(2 * N_USERS),
        row=np.concatenate([clean.row, noisy.row + N_USERS]),
        item=np.concatenate([clean.item, noisy.item]),
        probability=np.concatenate([clean.probability, noisy.probability]),
        wanted=np.concatenate([clean.wanted, noisy.wanted]),
    )
    names = np.repeat(np.array(["good", "bad"], dtype=object), len(clean.row))
    table = noise_by_group(both, {"source": names}, 0.1)
    assert table["group"].tolist() == ["bad", "good"]
    assert table["labels"].tolist() == [800, 800]
    assert table["noise_fraction"][1] == 0.0
    assert table["noise_fraction"][0] == pytest.approx(0.8, abs=0.25)


def test_the_most_suspicious_label_is_the_least_likely_against_chance() -> None:
    two = Judged(
        user=np.array([0, 1]),
        row=np.array([0, 0, 1, 1, 1, 1]),
        item=np.array([1, 2, 1, 2, 3, 4]),
        probability=np.array([0.8, 0.2, 0.15, 0.05, 0.5, 0.3]),
        wanted=np.array([False, True, True, False, False, True]),
    )
    # against a blind guess: .2 * 2 = .4, .15 * 4 = .6, .3 * 4 = 1.2
    assert suspicious(two, 10).tolist() == [1, 2, 5]
    assert suspicious(two, 1).tolist() == [1]


def test_without_requests_built_anew_a_leak_is_unknown_unless_a_feature_shows_it(
    params: DiagnosisParams,
) -> None:
    assert leak(Clues(PROBE["feature_auc"], GROUPS), params).verdict == "unknown"
    assert leak(Clues(PROBE["feature_auc"] | {"echo": 1.0}, GROUPS), params).verdict == "suspected"


def test_requests_whose_visit_cannot_be_looked_up_are_not_called_their_own(
    params: DiagnosisParams,
) -> None:
    none = replace(foresight(), foreign=np.zeros(0, dtype=bool))
    names = [item.name for item in leak(Clues({}, {}, none), params).evidence]
    assert names == ["future_in_request", "item_state", "early_items"]


def test_a_feature_is_held_against_the_best_of_other_kinds(params: DiagnosisParams) -> None:
    aucs = {"count": 0.9, "decayed": 0.91, "age": 0.8}
    found = strongest_feature(aucs, GROUPS, params)
    assert found.holds is False  # the error .09 is less than half of .2, that of 'age'
    assert found.bound == pytest.approx(0.9)
    assert strongest_feature(aucs | {"age": 0.85}, GROUPS, params).holds
    assert not strongest_feature({"count": 0.995, "age": 0.994}, GROUPS, params).holds


def test_units_are_judged_only_by_what_was_recorded(params: DiagnosisParams) -> None:
    found = units({"dead_fraction": 0.9}, params)
    assert [item.name for item in found.evidence] == ["dead_fraction"]
    assert "dead" in found.cause
    assert units({}, params).verdict == "unknown"


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
