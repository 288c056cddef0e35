"""How the testing page shows what was suspected of the fit, and what was not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.family_metrics import DataShare, FitProbe
from pipeline.presentation.pages import Page
from pipeline.testing.diagnosis.diagnose import Inputs
from pipeline.testing.diagnosis.finding import Finding, above, at_most, healthy, unknown
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap, WindowQuality
from pipeline.testing.diagnosis.label_noise import ScoredCandidates
from pipeline.testing.diagnosis.page import (
    add_diagnosis,
    build_evidence_table,
    count_labels_by_tenth,
)
from pipeline.testing.examine import Examination

LEAK = Finding(
    "leak", "suspected", (at_most("future_in_request", 0.5, 0.0), at_most("other", 0.0, 1.0)),
    "The future leaks.", "labeling", "Find it.",
)  # fmt: skip


def examination() -> Examination:
    user = np.array([0, 1])
    side = WindowQuality(user, np.array([0.3, 0.4]), np.array([0.2, 0.3]))
    row = np.repeat(user, 10)
    probability = np.tile(np.linspace(0.19, 0.01, 10), 2)
    wanted = np.zeros(20, dtype=bool)
    wanted[[0, 1, 10, 19]] = True
    inputs = Inputs(
        probe=FitProbe(
            feature_auc={"count": 0.8, "age": 0.7},
            learning_curve=tuple(DataShare(fraction=f, score=0.2) for f in (0.25, 0.5, 1.0)),
        ),
        gap=GeneralizationGap(side, side),
        scored=ScoredCandidates(user, row, np.tile(np.arange(10), 2), probability, wanted),
    )
    noise = pd.DataFrame(
        {"kind": ["department"], "group": ["DAIRY"], "labels": [4], "noise_fraction": [0.25]}
    )
    fine = healthy("underfit", (above("lead", 0.1, 0.0),), "It learned.")
    findings = (LEAK, fine, unknown("label_noise", "Not asked."))
    return Examination(findings, inputs, pd.DataFrame(), noise)


def test_the_page_shows_every_finding_with_its_numbers(tmp_path: Path) -> None:
    page = Page("Testing", "")
    add_diagnosis(page, examination())
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in (
        "The future leaks.",
        "suspected",
        "healthy",
        "unknown",
        "future_in_request",
        "DAIRY",
    ):
        assert words in text
    assert build_evidence_table(examination())["holds"].tolist() == [False, True, True]


def test_a_page_without_any_input_still_has_its_plots() -> None:
    page = Page("Testing", "")
    empty = replace(examination(), inputs=Inputs(), noise=pd.DataFrame())
    add_diagnosis(page, empty)


def test_labels_by_tenth_by_hand() -> None:
    scored = examination().inputs.scored
    assert scored is not None
    result, expected = count_labels_by_tenth(scored)
    assert result.tolist() == [0.5, 0.25, 0, 0, 0, 0, 0, 0, 0, 0.25]
    # two labels per request, probabilities .19, .17 … .01
    assert expected == pytest.approx(np.linspace(0.19, 0.01, 10))


def test_findings_are_recorded_by_name() -> None:
    result = examination().records()
    assert set(result) == {"leak", "underfit", "label_noise"}
    assert result["leak"].target_phase == "labeling"
