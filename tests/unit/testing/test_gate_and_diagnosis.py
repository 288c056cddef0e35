"""When a suspicion about the fit sends the circle back, and how the page shows it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.diagnosis.diagnose import Inputs
from pipeline.diagnosis.finding import Finding, above, at_most, healthy, unknown
from pipeline.diagnosis.fit_quality import Seen, Side
from pipeline.diagnosis.label_noise import Judged
from pipeline.pages import Page
from pipeline.params import GuardrailParams
from pipeline.planning.plan import Baseline, Plan, Target
from pipeline.testing.diagnosis import add, evidence_table, labels_by_tenth
from pipeline.testing.examine import Examination
from pipeline.testing.gate import gate
from pipeline.verdicts import Verdict

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
    "leak", "suspected", (at_most("future_shuffle", 0.5, 0.0), at_most("other", 0.0, 1.0)),
    "The future leaks.", "labeling", "Find it.",
)  # fmt: skip


def judged(value: float, *suspected: Finding) -> Verdict:
    """The verdict on a deep model of this recall, against counting with .2; .22 is promised."""
    metrics: dict[str, Any] = {
        "champion": "mlp",
        "rolling": {
            "recall@10": value,
            "interval": {"recall@10": [value - 0.01, value + 0.01]},
            "coverage@10": 0.3,
        },
        "fairness_gap": 0.1,
        "baselines": {"decayed": {"rolling": {"recall@10": 0.2}}},
    }
    lead = {"decayed": {"difference": value - 0.2, "low": value - 0.205, "high": value}}
    return gate("mlp", metrics, lead, PLAN, suspected)


def test_a_suspicion_does_not_stop_a_champion_that_meets_its_bounds() -> None:
    assert judged(0.25, OVERFIT).status == "proceed"


def test_a_suspicion_says_where_to_go_when_quality_misses_its_bound() -> None:
    found = judged(0.21, OVERFIT)
    assert (found.status, found.target_phase, found.action) == (
        "return", "training", "Fewer epochs.",
    )  # fmt: skip
    assert "gain_fraction miss their bound. It knows them by heart" in found.cause
    assert found.evidence[-1].name == "lost_lead_fraction"


def test_without_a_suspicion_a_missed_bound_goes_back_to_training() -> None:
    found = judged(0.21)
    assert (found.status, found.target_phase) == ("return", "training")
    assert "families" in str(found.action)


@pytest.mark.parametrize("value", [0.25, 0.21])
def test_a_leak_always_goes_back(value: float) -> None:
    found = judged(value, LEAK, OVERFIT)
    assert (found.status, found.target_phase) == ("return", "labeling")
    assert "not to be believed" in found.cause
    assert [item.name for item in found.evidence if not item.holds][-1] == "future_shuffle"


def examination() -> Examination:
    user = np.array([0, 1])
    side = Side(user, np.array([0.3, 0.4]), np.array([0.2, 0.3]))
    row = np.repeat(user, 10)
    probability = np.tile(np.linspace(0.19, 0.01, 10), 2)
    wanted = np.zeros(20, dtype=bool)
    wanted[[0, 1, 10, 19]] = True
    inputs = Inputs(
        probe={
            "feature_auc": {"count": 0.8, "age": 0.7},
            "learning_curve": [{"fraction": f, "score": 0.2} for f in (0.25, 0.5, 1.0)],
        },
        seen=Seen(side, side),
        judged=Judged(user, row, np.tile(np.arange(10), 2), probability, wanted),
    )
    noise = pd.DataFrame(
        {"kind": ["department"], "group": ["DAIRY"], "labels": [4], "noise_fraction": [0.25]}
    )
    fine = healthy("underfit", (above("lead", 0.1, 0.0),), "It learned.")
    findings = (LEAK, fine, unknown("label_noise", "Not asked."))
    return Examination(findings, inputs, pd.DataFrame(), noise)


def test_the_page_shows_every_finding_with_its_numbers(tmp_path: Path) -> None:
    page = Page("Testing", "")
    add(page, examination())
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in (
        "The future leaks.",
        "suspected",
        "healthy",
        "unknown",
        "future_shuffle",
        "DAIRY",
    ):
        assert words in text
    assert evidence_table(examination())["holds"].tolist() == [False, True, True]


def test_a_page_without_any_input_still_has_its_plots() -> None:
    page = Page("Testing", "")
    empty = replace(examination(), inputs=Inputs(), noise=pd.DataFrame())
    add(page, empty)


def test_labels_by_tenth_by_hand() -> None:
    judged = examination().inputs.judged
    assert judged is not None
    found, expected = labels_by_tenth(judged)
    assert found.tolist() == [0.5, 0.25, 0, 0, 0, 0, 0, 0, 0, 0.25]
    # two labels per request, probabilities .19, .17 … .01
    assert expected == pytest.approx(np.linspace(0.19, 0.01, 10))


def test_findings_are_plain_values_by_name() -> None:
    found = examination().as_dict()
    assert set(found) == {"leak", "underfit", "label_noise"}
    assert found["leak"]["target_phase"] == "labeling"
    assert examination().suspected() == [LEAK]
