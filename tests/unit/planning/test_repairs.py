import pytest

from pipeline.contracts.verdicts import Evidence
from pipeline.planning.repairs import ask_about_viability


def missed(name: str, value: float | None, bound: float) -> Evidence:
    return Evidence(name=name, value=value, bound=bound, holds=False)


@pytest.mark.parametrize(
    ("evidence", "name", "key", "value"),
    [
        (missed("gain_lower_bound", 0.03129, 0.05), "change_minimum_gain",
         "planning.minimum_gain", 0.0312),
        (missed("cycle_minutes", 12.2, 12), "change_cycle_minutes",
         "planning.guardrails.cycle_minutes", 13.0),
        (missed("memory_gib", 8.4, 8), "change_training_memory_gib",
         "planning.guardrails.training_memory_gib", 9.0),
    ],
)  # fmt: skip
def test_a_person_may_change_the_bound_that_is_missed(
    evidence: Evidence, name: str, key: str, value: float
) -> None:
    repair = ask_about_viability((evidence,))
    assert repair.step.kind == "ask"
    assert repair.step.options == ("end",)
    (change,) = repair.step.steps[name].changes  # type: ignore[union-attr]
    assert (change.key, change.value) == (key, value)


@pytest.mark.parametrize(
    "evidence",
    [
        missed("gain_lower_bound", -0.01, 0.05),  # a gain that may be none is no bound
        missed("reachable_ceiling", 0.04, 0.1),
        missed("training_windows", 0, 1),
    ],
)
def test_what_no_bound_repairs_has_no_step(evidence: Evidence) -> None:
    repair = ask_about_viability((evidence,))
    assert repair.step.kind == "ask"
    assert repair.step.steps == {}
    assert evidence.in_words() in repair.step.question
