"""What people read about the test: nothing is left out, and one number is the same everywhere."""

from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.contracts.params import GuardrailParams
from pipeline.contracts.plan import Baseline, Plan, Profile, Target
from pipeline.contracts.testing_report import (
    FairnessGap,
    FindingStatus,
    PairedDifference,
    RecordedFinding,
    TestReport,
)
from pipeline.contracts.verdicts import Evidence
from pipeline.testing.gate import gate
from pipeline.testing.protocols import KNOWN, TITLES
from pipeline.testing.report import build_model_card, build_page
from pipeline.testing.slices import BELOW, CHANCE, COLUMNS, compute_fairness, describe_fairness
from tests.support.reports import make_report

PLAN = Plan.model_construct(
    objective="Show what is wanted",
    primary_metric="recall@10",
    target=Target(value=0.1, low=0.1, high=0.1, metric="recall@10", derivation=""),
    baseline=Baseline(name="decayed", value=0.1, low=0.1, high=0.1),
    guardrails=GuardrailParams(
        p99_latency_ms=1,
        serving_memory_gib=1,
        cycle_minutes=1,
        training_memory_gib=1,
        minimum_coverage=0.02,
        maximum_fairness_gap=0.5,
    ),
    profile=Profile.model_construct(
        source="tiny", n_users=9, n_items=9, n_baskets=9, first_day="1", last_day="2"
    ),
)
N_GROUPS = 75


def slices() -> pd.DataFrame:
    """More groups than fit on a screen; the one that sets the gap is the last but one of them."""
    rows: list[list[Any]] = [
        ["income", f"group <{n}>", 50, 20, 0.2, 0.19, 0.21, 0.0, CHANCE] for n in range(N_GROUPS)
    ]
    rows[-2] = ["kids_count", "3+", 214, 30, 0.15, 0.12, 0.18, -0.25, BELOW]
    rows[-1] = ["income", "250K+", 109, 12, 0.14, 0.07, 0.23, -0.3, CHANCE]
    return pd.DataFrame(rows, columns=COLUMNS)


def finding(verdict: FindingStatus, cause: str, *evidence: Evidence) -> RecordedFinding:
    return RecordedFinding(
        verdict=verdict, cause=cause, target_phase=None, action=None, evidence=evidence
    )


HEALTHY = finding("healthy", "It learns.")
FINDINGS = {
    "units": HEALTHY,
    "underfit": finding(
        "suspected",
        "It still rose.",
        Evidence(name="last_epoch_gain_fraction", value=0.0129, bound=0.01, holds=False),
    ),
    "label_noise": finding("unknown", "Too few labels."),
}


def report(fairness: FairnessGap, diagnosis: dict[str, RecordedFinding]) -> TestReport:
    recalls = {"mlp": 0.2, "decayed": 0.19}
    return make_report("mlp", recalls, fairness=fairness, diagnosis=diagnosis)


@pytest.fixture
def reported(tmp_path: Path) -> dict[str, str]:
    """The page, the card, and the note of the gate."""
    fairness = compute_fairness(slices(), ["income", "kids_count"])
    result = report(fairness, FINDINGS)
    lead = PairedDifference(difference=0.01, low=0.005, high=0.015)
    verdict = gate(result, {"decayed": lead}, PLAN)
    build_page(result, slices(), verdict, PLAN).write(tmp_path / "page.html")
    (evidence,) = [item for item in verdict.evidence if item.name == "fairness_gap"]
    assert evidence.value == fairness.gap_fraction == 0.25
    return {
        "page": (tmp_path / "page.html").read_text(encoding="utf-8"),
        "card": build_model_card(result, slices(), PLAN),
        "gate": evidence.note,
    }


def test_every_slice_is_on_the_page(reported: dict[str, str]) -> None:
    assert f"All {N_GROUPS} slices" in reported["page"]
    for row in slices().itertuples():
        assert f"<td>{row.kind}</td><td>{escape(str(row.slice))}</td>" in reported["page"]


def test_the_fairness_gap_is_one_sentence_in_gate_page_and_card(reported: dict[str, str]) -> None:
    sentence = describe_fairness(compute_fairness(slices(), ["income", "kids_count"]))
    assert sentence.startswith("25.0% below the mean, set by kids_count 3+ with 0.1500 [0.1200, ")
    assert reported["gate"] == sentence
    assert sentence in reported["card"]
    assert escape(sentence) in reported["page"]


def test_a_wider_gap_that_may_be_chance_is_called_so_beside_its_interval(
    reported: dict[str, str],
) -> None:
    assert (
        "- income, 250K+: 0.1400 [0.0700, 0.2300] (-30.0% of the mean, 109 requests; may be chance)"
        in reported["card"]
    )
    assert (
        "- kids_count, 3+: 0.1500 [0.1200, 0.1800] (-25.0% of the mean, 214 requests)"
        in (reported["card"])
    )


def test_the_card_says_what_the_diagnosis_leaves_open(reported: dict[str, str]) -> None:
    assert (
        "- Underfit: suspected. It still rose. last_epoch_gain_fraction 0.0129, bound 0.01.\n"
        "- Label noise: unknown. Too few labels.\n"
    ) in reported["card"]


def test_the_card_of_a_healthy_fit_says_that_nothing_is_open() -> None:
    result = report(FairnessGap(gap_fraction=0.0), {"units": HEALTHY})
    card = build_model_card(result, slices(), PLAN)
    assert "None: dead or exploding units are healthy." in card


def test_every_table_says_what_is_known_at_request_time(reported: dict[str, str]) -> None:
    """Two leads are comparable only where the methods know the same."""
    for protocol, words in TITLES.items():
        assert KNOWN[protocol] in reported["card"]
        assert escape(KNOWN[protocol]) in reported["page"]
        assert f"Candidates, {words}" in reported["page"]
    lead = "+0.1000 [+0.0900, +0.1100]"
    assert f"| decayed | {lead} | {lead} | {lead} |" in reported["card"]
