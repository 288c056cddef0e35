"""Labels belong to other requests: most labels of a request are not in its basket."""

from pipeline.contracts.repairs import Rerun
from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.corrections import label_again
from pipeline.monitoring.diagnosis.label_match import is_foreign, match_labels
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion


def measure_misjoined(case: Case) -> float:
    """Return the share of requests with the labels of another basket."""
    rows = match_labels(case)
    return float(is_foreign(rows).mean()) if len(rows) else 0.0


def explain_misjoined(case: Case, _bound: float) -> Suspicion | None:
    """Return how many requests have labels of another basket."""
    return Suspicion(
        phase="labeling",
        because=f"the labels of {measure_misjoined(case):.0%} of the requests are not in the "
        "basket that followed",
        action="Label again, and check the join of requests with purchases: "
        "`uv run dvc repro --single-item --force labeling`.",
        steps=(Rerun(stage="labeling"),),
        undo=label_again,
    )


LABELS_MISJOINED = Cause(
    name="labels_misjoined",
    statistic="share of requests with the labels of another basket",
    measure=measure_misjoined,
    explain=explain_misjoined,
    floor=0.02,
)
