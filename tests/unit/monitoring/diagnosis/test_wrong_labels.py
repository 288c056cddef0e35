"""Labels that are misjoined, noisy or missing."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.contracts.repairs import Rerun
from pipeline.monitoring.diagnosis.causes.label_noise import LABEL_NOISE
from pipeline.monitoring.diagnosis.causes.labels_misjoined import LABELS_MISJOINED
from pipeline.monitoring.diagnosis.causes.labels_missing import LABELS_MISSING
from pipeline.monitoring.diagnosis.label_match import match_labels
from tests.support.diagnosed_faults import change_labels, keep_requests, misjoin_labels
from tests.support.diagnosed_shop import explain, is_silent, make_case


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_misjoined_labels_are_labelled_again(share: float) -> None:
    suspicion = explain(LABELS_MISJOINED, misjoin_labels(make_case(), share))
    assert suspicion.phase == "labeling"
    assert suspicion.steps == (Rerun(stage="labeling"),)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_noisy_labels_are_labelled_again(share: float) -> None:
    case = change_labels(make_case(), share, drop=False)
    assert LABEL_NOISE.measure(case) == pytest.approx(share, rel=0.3)
    assert explain(LABEL_NOISE, case).steps == (Rerun(stage="labeling"),)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_missing_labels_are_labelled_again(share: float) -> None:
    assert explain(LABELS_MISSING, change_labels(make_case(), share, drop=True)).phase == "labeling"


@pytest.mark.parametrize("share", [0.7, 0.3])
def test_missing_requests_are_labelled_again(share: float) -> None:
    case = keep_requests(make_case(), share)
    assert LABELS_MISSING.measure(case) == pytest.approx(1 - share, abs=0.05)
    assert explain(LABELS_MISSING, case).phase == "labeling"


def test_few_wrong_labels_are_silent() -> None:
    assert is_silent(LABELS_MISJOINED, misjoin_labels(make_case(), 0.01))
    assert is_silent(LABEL_NOISE, change_labels(make_case(), 0.01, drop=False))
    assert is_silent(LABELS_MISSING, change_labels(make_case(), 0.1, drop=True))
    assert is_silent(LABELS_MISSING, keep_requests(make_case(), 0.9))


def test_labels_are_counted_basket_by_basket_of_each_user() -> None:
    columns = ["user_id", "basket_id", "item_id"]
    bought = [("u", "day", "a"), ("u", "day", "a"), ("u", "day", "b"), ("v", "day", "c")]
    labelled = pd.DataFrame(
        {
            "user_id": ["u", "v", "w", "u"],
            "basket_id": ["day", "day", "day", None],
            "labels": [["a", "c"], ["c"], ["c"], ["a"]],
        }
    )
    case = replace(make_case(), now=pd.DataFrame(bought, columns=columns), labelled=labelled)
    assert match_labels(case).to_numpy().tolist() == [[2, 2, 1], [1, 1, 1], [1, 0, 0]]
