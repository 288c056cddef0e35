from pipeline.contracts.verdicts import Evidence
from pipeline.labeling.repairs import ask_about_labels

DOUBTFUL = Evidence(name="doubtful_fraction", value=0.07123, bound=0.05, holds=False)
EXPECTED = Evidence(name="failures: balance", value=2, bound=0, holds=False)


def test_doubtful_labels_alone_may_be_tolerated() -> None:
    repair = ask_about_labels([DOUBTFUL], "Review the queue.")
    assert (repair.cause, repair.target_phase) == ("label_noise", "collection")
    assert repair.step.kind == "ask"
    assert repair.step.question == "doubtful_fraction 0.07123 (bound 0.05). Review the queue."
    (change,) = repair.step.steps["tolerate"].changes  # type: ignore[union-attr]
    assert (change.key, change.value) == ("labeling.maximum_doubtful_fraction", 0.0713)


def test_a_broken_expectation_cannot_be_tolerated_by_a_limit() -> None:
    repair = ask_about_labels([DOUBTFUL, EXPECTED], "Review the queue.")
    assert repair.step.kind == "ask"
    assert repair.step.steps == {}
    alone = ask_about_labels([EXPECTED], "Collect more.")
    assert (alone.cause, alone.target_phase) == ("wrong_label_policy", "labeling")
