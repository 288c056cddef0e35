"""Each failure mode, made by hand in arrays, is suspected alone, with the phase of its remedy."""

from typing import Any

import numpy as np
import pytest

from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.diagnose import Inputs, diagnose
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown
from pipeline.testing.diagnosis.leak import LeakInputs, check_leak
from tests.unit.testing.diagnosis.cases import (
    CURVE,
    PROBE,
    RISING,
    inputs,
    look_ahead,
    measured_gap,
    probe_with,
    scored,
)


def suspected(findings: tuple[Finding, ...]) -> dict[str, str | None]:
    return {f.name: f.target_phase for f in findings if f.verdict == "suspected"}


def test_a_sound_fit_has_no_failure_mode(params: DiagnosisParams) -> None:
    findings = diagnose(inputs(), params)
    assert [finding.verdict for finding in findings] == ["healthy"] * 6
    assert all(item.holds for finding in findings for item in finding.evidence)
    assert len({finding.name for finding in findings}) == 6


FAULTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "memorised": ({"gap": measured_gap(train=(0.4, 0.19))}, {"overfit": "training"}),
    "behind counting": (
        {"gap": measured_gap(train=(0.18, 0.19), unseen=(0.17, 0.185))},
        {"underfit": "training"},
    ),
    "stopped too early": (
        {"curve": [CURVE[0], {"epoch": 2, "loss": 2.2, "validation": 0.21}]},
        {"underfit": "training"},
    ),
    "wrong labels": ({"scored": scored(0.3)}, {"label_noise": "labeling"}),
    "few shoppers": (
        {"probe": RISING},
        {"too_little_data": "collection"},
    ),
    "label as a feature": (
        {"probe": probe_with(feature_auc=PROBE.feature_auc | {"echo": 1.0})},
        {"leak": "collection"},
    ),
    "label in two features of two kinds": (
        {"probe": probe_with(feature_auc=PROBE.feature_auc | {"echo": 0.98, "again": 0.97})},
        {"leak": "collection"},
    ),
    "future in a request": ({"look_ahead": look_ahead(changed=1)}, {"leak": "labeling"}),
    "store of another visit": ({"look_ahead": look_ahead(foreign=1)}, {"leak": "labeling"}),
    "state of later": ({"look_ahead": look_ahead(state_difference=0.7)}, {"leak": "labeling"}),
    "items of later": ({"look_ahead": look_ahead(n_early_items=1)}, {"leak": "labeling"}),
    "dead": (
        {"probe": probe_with(dead_fraction=1.0, gradient_median=0.0, batch_loss_left=1.0)},
        {"units": "training"},
    ),
    "exploding": (
        {"probe": probe_with(gradient_ratio=1e6, loss_at_end=50.0)},
        {"units": "training"},
    ),
    "wrong scale": ({"probe": probe_with(loss_at_start=30.0)}, {"units": "training"}),
    "not a number": ({"probe": probe_with(gradient_ratio=np.inf)}, {"units": "training"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone_with_the_phase_of_the_remedy(
    fault: str, params: DiagnosisParams
) -> None:
    changes, expected = FAULTS[fault]
    findings = diagnose(inputs(**changes), params)
    assert suspected(findings) == expected
    finding = next(entry for entry in findings if entry.name in expected)
    assert finding.action
    assert any(not item.holds for item in finding.evidence)


def test_a_failure_mode_makes_what_it_hides_unknown(params: DiagnosisParams) -> None:
    verdicts = {f.name: f.verdict for f in diagnose(inputs(look_ahead=look_ahead(3)), params)}
    assert verdicts == {
        "leak": "suspected",
        "units": "healthy",
        "overfit": "unknown",
        "underfit": "unknown",
        "label_noise": "unknown",
        "too_little_data": "unknown",
    }
    behind = measured_gap(train=(0.18, 0.19), unseen=(0.17, 0.185))
    verdicts = {f.name: f.verdict for f in diagnose(inputs(gap=behind), params)}
    assert (verdicts["label_noise"], verdicts["too_little_data"]) == ("healthy", "healthy")


def test_a_model_that_learned_badly_clears_labels_but_does_not_suspect_them(
    params: DiagnosisParams,
) -> None:
    early = [CURVE[0], {"epoch": 2, "loss": 2.2, "validation": 0.21}]
    for noise, verdict in ((0.0, "healthy"), (0.4, "unknown")):
        results = {f.name: f for f in diagnose(inputs(curve=early, scored=scored(noise)), params)}
        assert results["underfit"].verdict == "suspected"
        assert results["label_noise"].verdict == verdict
        assert results["label_noise"].evidence[0].value == pytest.approx(noise, abs=0.12)


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


def test_a_finding_is_recorded_with_its_evidence(params: DiagnosisParams) -> None:
    finding = check_leak(LeakInputs({}, {}, look_ahead(10)), params).record()
    assert finding.verdict == "suspected"
    assert finding.evidence[0].value == 1.0


def test_a_value_that_is_not_finite_never_holds() -> None:
    assert not at_most("x", float("nan"), 1.0).holds
    assert at_most("x", 1.0, 1.0).holds
