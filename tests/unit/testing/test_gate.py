"""Which candidate wins, and when the circle goes back."""

from typing import Any

import pytest

from pipeline.contracts.params import GuardrailParams
from pipeline.contracts.plan import Baseline, Plan, Target
from pipeline.contracts.testing_report import FairnessGap, PairedDifference
from pipeline.contracts.verdicts import Verdict
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown
from pipeline.testing.gate import choose_champion, gate
from tests.support.reports import make_report

PLAN = Plan.model_construct(  # the parts that the gate reads
    primary_metric="recall@10",
    target=Target(value=0.22, low=0.2, high=0.24, metric="recall@10", derivation=""),
    baseline=Baseline(name="decayed", value=0.2, low=0.18, high=0.22),
    guardrails=GuardrailParams(
        p99_latency_ms=1,
        serving_memory_gib=1,
        cycle_minutes=1,
        training_memory_gib=1,
        minimum_coverage=0.02,
        maximum_fairness_gap=0.5,
    ),
)
OVERFIT = Finding(
    "overfit", "suspected", (at_most("lost_lead_fraction", 0.4, 0.1),), "It knows them by heart.",
    "training", "Fewer epochs.",
)  # fmt: skip
LEAK = Finding(
    "leak", "suspected", (at_most("future_in_request", 0.5, 0.0), at_most("other", 0.0, 1.0)),
    "The future leaks.", "labeling", "Find it.",
)  # fmt: skip
VALUES = {"ranker": 0.25, "popular": 0.1, "decayed": 0.2}


def leads(popular: float, decayed: float) -> dict[str, PairedDifference]:
    """Lower ends of the ranker's lead."""
    return {
        name: PairedDifference(difference=low + 0.01, low=low, high=low + 0.02)
        for name, low in (("popular", popular), ("decayed", decayed))
    }


def scored(values: dict[str, float], paired: dict[str, PairedDifference], **more: Any) -> Verdict:
    champion = choose_champion("ranker", values, paired)
    return gate(make_report(champion, values, **more), paired, PLAN)


def holds(verdict: Verdict) -> dict[str, bool]:
    return {item.name: item.holds for item in verdict.evidence}


def test_a_ranker_ahead_of_every_baseline_wins() -> None:
    assert choose_champion("ranker", VALUES, leads(0.1, 0.001)) == "ranker"


def test_a_lead_that_may_be_chance_leaves_the_best_baseline() -> None:
    assert choose_champion("ranker", VALUES, leads(0.1, -0.001)) == "decayed"
    assert choose_champion("ranker", VALUES, leads(0.1, 0.0)) == "decayed"


def test_being_behind_any_baseline_is_enough_to_lose() -> None:
    values = {"ranker": 0.15, "popular": 0.3, "decayed": 0.1}
    assert choose_champion("ranker", values, leads(-0.2, 0.02)) == "popular"


def test_a_winning_ranker_goes_on() -> None:
    result = scored(VALUES, leads(0.1, 0.04))
    assert result.status == "proceed"
    assert all(holds(result).values())
    assert "ranker reaches recall@10 0.2500 [0.2400, 0.2600]" in result.cause


def test_a_winning_baseline_goes_on_and_says_so() -> None:
    result = scored({"ranker": 0.2, "popular": 0.1, "decayed": 0.21}, leads(0.1, -0.02))
    assert result.status == "proceed"
    assert result.cause.startswith("decayed reaches")
    assert "no deep model is ahead" in result.cause
    assert [item.name for item in result.warnings] == ["ahead_of_baselines"]
    assert result.failing == ()


def test_a_gain_below_the_plan_goes_back_to_training() -> None:
    # the plan wants 0.22 / 0.2 - 1 = 10 % more than the best baseline; 0.21 gains 5 %
    result = scored(VALUES | {"ranker": 0.21}, leads(0.1, 0.005))
    assert (result.status, result.target_phase) == ("return", "training")
    assert result.action
    assert holds(result) == {
        "recall@10": True,
        "gain_fraction": False,
        "ahead_of_baselines": True,
        "coverage@10": True,
        "fairness_gap": True,
    }
    gain = next(item for item in result.evidence if item.name == "gain_fraction")
    assert (gain.value, gain.bound) == pytest.approx((0.05, 0.1))


def test_too_little_of_the_catalogue_goes_back() -> None:
    result = scored(VALUES, leads(0.1, 0.04), coverage=0.01)
    assert result.status == "return"
    assert "coverage@10" in result.cause


def test_a_group_too_far_below_the_mean_goes_back() -> None:
    result = scored(VALUES, leads(0.1, 0.04), fairness=FairnessGap(gap_fraction=0.6))
    assert result.status == "return"
    assert "fairness_gap" in result.cause


def test_bounds_themselves_are_met() -> None:
    on_the_bound = FairnessGap(gap_fraction=0.5)
    result = scored(VALUES, leads(0.1, 0.04), coverage=0.02, fairness=on_the_bound)
    assert result.status == "proceed"


def test_a_champion_that_is_behind_counting_goes_back() -> None:
    """Planted: another than `choose_champion` would choose."""
    values = VALUES | {"ranker": 0.19}
    verdict = gate(make_report("ranker", values), leads(0.09, -0.02), PLAN)
    assert verdict.status == "return"
    assert holds(verdict)["recall@10"] is False


def suspected(value: float, *findings: Finding) -> Verdict:
    """The verdict on a deep model of this recall, against counting with .2; .22 is promised."""
    report = make_report("mlp", {"mlp": value, "decayed": 0.2})
    lead = PairedDifference(difference=value - 0.2, low=value - 0.205, high=value)
    return gate(report, {"decayed": lead}, PLAN, findings)


NOISE = unknown("label_noise", "Too few labels.")
FINE = healthy("units", (at_most("dead_fraction", 0.0, 0.5),), "It learns.")


def test_a_suspicion_warns_of_a_champion_that_meets_its_bounds() -> None:
    result = suspected(0.25, FINE, OVERFIT, NOISE)
    assert (result.status, result.failing) == ("proceed", ())
    shown = [(item.name, item.value, item.bound, item.note) for item in result.warnings]
    assert shown == [
        ("overfit: lost_lead_fraction", 0.4, 0.1, "It knows them by heart."),
        ("label_noise", None, None, "Too few labels."),
    ]


def test_a_healthy_fit_leaves_no_warning() -> None:
    assert suspected(0.25, FINE).warnings == ()


def test_what_does_harm_gates_and_what_does_not_warns() -> None:
    result = suspected(0.21, OVERFIT, NOISE)
    assert [item.name for item in result.failing] == ["gain_fraction", "lost_lead_fraction"]
    assert [item.name for item in result.warnings] == ["label_noise"]
    assert [item.name for item in suspected(0.21, NOISE).warnings] == ["label_noise"]
    leaking = suspected(0.25, LEAK, OVERFIT)
    assert [item.name for item in leaking.failing] == ["future_in_request"]
    assert [item.name for item in leaking.warnings] == ["overfit: lost_lead_fraction"]


def test_a_suspicion_says_where_to_go_when_quality_misses_its_bound() -> None:
    result = suspected(0.21, OVERFIT)
    assert (result.status, result.target_phase, result.action) == (
        "return", "training", "Fewer epochs.",
    )  # fmt: skip
    assert "gain_fraction misses its bound. It knows them by heart" in result.cause
    assert result.evidence[-1].name == "lost_lead_fraction"


def test_several_missed_bounds_are_named_together() -> None:
    missed = FairnessGap(gap_fraction=0.6)
    result = scored(VALUES | {"ranker": 0.21}, leads(0.1, 0.005), coverage=0.01, fairness=missed)
    assert result.cause.endswith(
        "but gain_fraction, coverage@10 and fairness_gap miss their bounds"
    )


def test_without_a_suspicion_a_missed_bound_goes_back_to_training() -> None:
    result = suspected(0.21)
    assert (result.status, result.target_phase) == ("return", "training")
    assert "families" in str(result.action)


@pytest.mark.parametrize("value", [0.25, 0.21])
def test_a_leak_always_goes_back(value: float) -> None:
    result = suspected(value, LEAK, OVERFIT)
    assert (result.status, result.target_phase) == ("return", "labeling")
    assert "not reliable" in result.cause
    assert result.failing[-1].name == "future_in_request"
