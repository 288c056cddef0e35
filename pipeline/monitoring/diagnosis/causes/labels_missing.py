"""Labels are missing: baskets without a request, or bought items that are no labels."""

import pandas as pd

from pipeline.contracts.repairs import Rerun
from pipeline.monitoring.diagnosis.case import BASKET, Case
from pipeline.monitoring.diagnosis.corrections import label_again
from pipeline.monitoring.diagnosis.label_match import is_foreign, match_labels
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion


def measure_missing(case: Case) -> float:
    """Return the missing share: of the baskets of requested users, or of the bought items."""
    rows = match_labels(case)
    if rows.empty:
        return 0.0
    rows = rows[~is_foreign(rows) & (rows["n_bought"] > 0)]
    users = case.labelled["user_id"].unique()
    baskets = case.now.loc[case.now["user_id"].isin(users), BASKET].drop_duplicates()
    requested = pd.MultiIndex.from_frame(case.labelled[BASKET])
    is_requested = pd.MultiIndex.from_frame(baskets).isin(requested)
    without_request = float((~is_requested).mean()) if len(baskets) else 0.0
    bought = rows["n_bought"].sum()
    without_label = float(1 - rows["n_right"].sum() / bought) if bought else 0.0
    return max(without_request, without_label, 0.0)


def explain_missing(case: Case, _bound: float) -> Suspicion | None:
    """Return what is missing."""
    return Suspicion(
        phase="labeling",
        because=f"{measure_missing(case):.0%} of the baskets, or of the items bought in them, are "
        "no labels",
        action="Label again, and check which events count (labeling.event_weights) and which "
        "baskets are left out: `uv run dvc repro --single-item --force labeling`.",
        steps=(Rerun(stage="labeling"),),
        undo=label_again,
    )


LABELS_MISSING = Cause(
    name="labels_missing",
    statistic="missing share of the baskets, or of the items bought in them",
    measure=measure_missing,
    explain=explain_missing,
    floor=0.2,
)
