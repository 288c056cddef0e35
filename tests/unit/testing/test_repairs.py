from datetime import date
from typing import Any

import pytest

from pipeline.contracts.params import Params, read_params
from pipeline.contracts.plan import Plan, Profile, StageCost
from pipeline.contracts.repairs import Repair
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.testing.diagnosis.finding import Finding, healthy
from pipeline.testing.repairs import offer_repairs
from tests.support.tiny_shop import PROJECT

PARAMS = read_params(PROJECT / "params.yaml")  # as_of 2017-12-04, 28 days of testing
COSTS = tuple(
    StageCost(stage=phase, minutes=minutes, memory_gib=1.0)
    for phase, minutes in (("planning", 1), ("labeling", 2), ("training", 4), ("testing", 8))
)
PLAN = Plan.model_construct(
    primary_metric="recall@10",
    costs=COSTS,
    profile=Profile.model_construct(last_day=date(2017, 12, 31)),
)


def missed(name: str, value: float, bound: float) -> Evidence:
    return Evidence(name=name, value=value, bound=bound, holds=False)


def verdict(*evidence: Evidence) -> Verdict:
    return Verdict(
        phase="testing", status="return", cause="It misses", evidence=evidence,
        target_phase="training", action="Improve it.",
    )  # fmt: skip


def suspect(name: str, target: Any = "training") -> Finding:
    return Finding(name, "suspected", (missed("x", 1.0, 0.5),), "It is so.", target, "Mend it.")


def offer(
    *evidence: Evidence,
    findings: tuple[Finding, ...] = (),
    params: Params = PARAMS,
    family: str = "mlp",
    plan: Plan = PLAN,
) -> tuple[Repair, ...]:
    return offer_repairs(verdict(*evidence), findings, family, params, plan)


def edits(repairs: tuple[Repair, ...]) -> dict[str, Any]:
    return {
        change.key: change.value
        for repair in repairs
        if repair.step.kind == "edit_params"
        for change in repair.step.changes
    }


LOW = missed("recall@10", 0.1, 0.2)


def test_a_verdict_that_proceeds_needs_none() -> None:
    well = Verdict(phase="testing", status="proceed", cause="Fine")
    assert offer_repairs(well, [suspect("overfit")], "mlp", PARAMS, PLAN) == ()


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("overfit", "mlp", {"families.ranker.epochs": 1, "families.ranker.weight_decay": 2.39e-05}),
        ("overfit", "lightgcn",
         {"families.lightgcn.epochs": 5, "families.lightgcn.weight_decay": 0.001}),
        ("overfit", "item2vec",
         {"families.item2vec.epochs": 2, "families.item2vec.weight_decay": 0.0001}),
        ("underfit", "gru", {"families.ranker.epochs": 3, "training.families": "multvae"}),
        ("underfit", "sasrec", {"families.sasrec.epochs": 15, "training.families": "multvae"}),
        ("units", "mlp", {"families.ranker.learning_rate": 0.0003}),
        ("too_little_data", "mlp", {"labeling.train_examples_per_user_window": 12}),
        ("label_noise", "mlp", {}),
        ("leak", "mlp", {}),
    ],
)  # fmt: skip
def test_each_failure_mode_has_its_own_repair(
    name: str, family: str, expected: dict[str, Any]
) -> None:
    repairs = offer(LOW, findings=(healthy("x", (), ""), suspect(name)), family=family)
    assert edits(repairs) == pytest.approx(expected)
    assert {repair.cause for repair in repairs} == {name}
    assert bool(expected) == (repairs[0].step.kind == "edit_params")


def test_a_leak_goes_before_every_other_failure_mode() -> None:
    (repair,) = offer(LOW, findings=(suspect("overfit"), suspect("leak", "collection")))
    assert (repair.cause, repair.target_phase, repair.step.kind) == ("leak", "collection", "ask")
    assert repair.step.question == "Mend it."  # type: ignore[union-attr]


def test_a_network_of_one_epoch_is_not_fitted_for_none() -> None:
    short = PARAMS.families.ranker.model_copy(update={"epochs": 1})
    params = PARAMS.model_copy(
        update={"families": PARAMS.families.model_copy(update={"ranker": short})}
    )
    assert list(edits(offer(LOW, findings=(suspect("overfit"),), params=params))) == [
        "families.ranker.weight_decay"
    ]


def test_without_a_failure_mode_another_family_is_tried() -> None:
    (repair,) = offer(LOW)
    assert edits((repair,)) == {"training.families": "multvae"}
    assert repair.cost_minutes == 12  # training and testing
    assert repair.because == "recall@10 0.1 (bound 0.2)"


@pytest.mark.parametrize(
    ("last_day", "as_of"),
    [("2018-01-06", None), ("2018-01-07", "2017-12-11"), ("2018-12-31", "2018-01-01")],
)
def test_data_that_go_on_allow_a_later_refit(last_day: str, as_of: str | None) -> None:
    profile = Profile.model_construct(last_day=date.fromisoformat(last_day))
    repairs = offer(LOW, plan=PLAN.model_copy(update={"profile": profile}))
    assert edits(repairs).get("shop.as_of") == as_of


def test_a_target_is_lowered_to_what_was_reached_where_it_alone_is_missed() -> None:
    gain = missed("gain_fraction", 0.03, 0.04)  # three quarters of the headroom of 0.02
    repairs = offer(gain)
    assert edits(repairs)["planning.target_headroom_fraction"] == 0.015
    assert repairs[-1].expected_gain == 0.0
    assert "planning.target_headroom_fraction" not in edits(offer(gain, LOW))
    behind = missed("gain_fraction", -0.01, 0.04)
    assert "planning.target_headroom_fraction" not in edits(offer(behind))


@pytest.mark.parametrize(
    ("evidence", "key", "value"),
    [
        (missed("coverage@10", 0.01239, 0.02), "minimum_coverage", 0.0123),
        (missed("fairness_gap", 0.61231, 0.5), "maximum_fairness_gap", 0.6124),
    ],
)
def test_a_guardrail_is_a_persons(evidence: Evidence, key: str, value: float) -> None:
    (repair,) = offer(evidence)
    assert repair.step.kind == "ask"
    (change,) = repair.step.steps["relax"].changes  # type: ignore[union-attr]
    assert (change.key, change.value) == (f"planning.guardrails.{key}", value)
