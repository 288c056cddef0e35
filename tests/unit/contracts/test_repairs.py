"""Repairs in a verdict: read as written, and refused where a program could not act on them."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.contracts.repairs import Ask, Change, EditParams, Repair, Restart, RollBack, Step
from pipeline.contracts.verdicts import Verdict

STEPS: tuple[Step, ...] = (
    EditParams(changes=(Change(key="shop.as_of", value="2017-12-11"),)),
    EditParams(
        changes=(
            Change(
                key="collection.corrections",
                operation="append",
                value={"kind": "scale", "column": "price", "factor": 0.01},
            ),
        )
    ),
    RollBack(),
    Restart(),
    Ask(question="Which ids are right?", options=("old", "new")),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step.kind))
def test_a_verdict_is_read_with_its_repairs_as_it_was_written(step: Step) -> None:
    repair = Repair(
        cause="unit_change",
        target_phase="collection",
        step=step,
        because="prices are 100 times those before",
        expected_gain=0.01,
        cost_minutes=9.5,
    )
    verdict = Verdict(phase="monitoring", status="proceed", cause="Go on", repairs=(repair,))
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "edit_params", "changes": []},
        {"kind": "edit_params", "changes": [{"key": "shop", "value": 1}]},
        {"kind": "edit_params", "changes": [{"key": "shop.as_of", "operation": "drop"}]},
        {"kind": "pray"},
        {"kind": "ask"},
    ],
)
def test_a_step_that_no_program_understands_is_refused(step: dict[str, Any]) -> None:
    fields = {"cause": "unit_change", "target_phase": "collection", "because": "x", "step": step}
    with pytest.raises(ValidationError):
        Repair.model_validate(fields)
