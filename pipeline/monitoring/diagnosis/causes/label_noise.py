"""Part of the labels is wrong: single labels of a request are not in its basket."""

from pipeline.contracts.repairs import Rerun
from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.corrections import label_again
from pipeline.monitoring.diagnosis.label_match import is_foreign, match_labels
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion


def measure_noise(case: Case) -> float:
    """Return the share of wrong labels, among requests whose labels are mostly right."""
    rows = match_labels(case)
    rows = rows[~is_foreign(rows)]
    return float(1 - rows["n_right"].sum() / rows["n_labels"].sum()) if len(rows) else 0.0


def explain_noise(case: Case, _bound: float) -> Suspicion | None:
    """Return how many labels are wrong."""
    return Suspicion(
        phase="labeling",
        because=f"{measure_noise(case):.1%} of the labels are not in the basket that followed",
        action="Label again, and audit a sample of the newest labels: "
        "`uv run dvc repro --single-item --force labeling`.",
        steps=(Rerun(stage="labeling"),),
        undo=label_again,
    )


LABEL_NOISE = Cause(
    name="label_noise",
    statistic="share of wrong labels",
    measure=measure_noise,
    explain=explain_noise,
    floor=0.02,
)
