"""The whole diagnosis: each fault alone, two at once, and repairs that params.yaml accepts."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.contracts.errors import ParamsError
from pipeline.contracts.params import read_params
from pipeline.contracts.repairs import EditParams
from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.catalogue import CATALOGUE
from pipeline.monitoring.diagnosis.diagnose import Diagnosis, diagnose
from pipeline.monitoring.diagnosis.repairs import build_repairs, describe_causes
from tests.support.diagnosed_faults import (
    add_bots,
    change_labels,
    damage_lines,
    drop_days,
    keep_requests,
    keep_some,
    misjoin_labels,
    permute,
    rename,
    repeat_lines,
    scale_prices,
    shift_clock,
)
from tests.support.diagnosed_shop import DAYS, NAMES, make_case
from tests.support.tiny_shop import PROJECT

pytestmark = pytest.mark.slow

Fault = Callable[[Case], Case]
FAULTS: dict[str, Fault] = {
    "repeated_lines": lambda case: repeat_lines(case, 6, 9),
    "late_data": lambda case: drop_days(case, DAYS - 4, DAYS),
    "missing_days": lambda case: drop_days(case, 8, 12),
    "damaged_lines": lambda case: damage_lines(case, "price", 0.0, 0.5, 15, 18),
    "unit_change": lambda case: scale_prices(case, 100),
    "clock_shift": lambda case: shift_clock(case, 6),
    "bot_traffic": lambda case: add_bots(case, 3, 200),
    "items_remapped": lambda case: rename(case, "item_id", {n: f"SKU-{n}" for n in NAMES[::3]}),
    "users_remapped": lambda case: rename(
        case, "user_id", permute(make_case().now["user_id"].unique(), 1.0)
    ),
    "thin_data": lambda case: keep_some(case, 0.5, "basket_id"),
    "labels_misjoined": lambda case: misjoin_labels(case, 0.5),
    "label_noise": lambda case: change_labels(case, 0.2, drop=False),
    "labels_missing": lambda case: keep_requests(case, 0.5),
}
IN_ONE_STORE: dict[str, Fault] = {
    "missing_days": lambda case: drop_days(case, 8, 12, "s1"),
    "unit_change": lambda case: scale_prices(case, 100, 14, store="s2"),
    "clock_shift": lambda case: shift_clock(case, 6, store="s3"),
}
ONE_STORE = " in one store"
PAIRS = [
    ("unit_change", "clock_shift"),
    ("repeated_lines", "unit_change"),
    ("missing_days", "items_remapped"),
    ("bot_traffic", "labels_misjoined"),
    ("users_remapped", "unit_change"),
    ("late_data", "clock_shift"),
    ("damaged_lines", "label_noise"),
]


@cache
def diagnose_fault(name: str) -> Diagnosis:
    fault = IN_ONE_STORE[name[: -len(ONE_STORE)]] if name.endswith(ONE_STORE) else FAULTS[name]
    return diagnose(fault(make_case()))


def named(diagnosis: Diagnosis) -> list[str]:
    return [cause.measured.cause.name for cause in diagnosis.causes]


def test_every_cause_has_a_fault() -> None:
    assert list(FAULTS) == [cause.name for cause in CATALOGUE]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_the_only_cause_and_a_copy_shows_its_repair(name: str) -> None:
    diagnosis = diagnose_fault(name)
    (cause,) = diagnosis.causes
    assert cause.measured.cause.name == name
    assert cause.is_undone or (name == "thin_data" and cause.value_after is None)
    (repair,) = build_repairs(diagnosis, {name: 0.05}, {})
    assert (repair.cause, repair.expected_gain) == (name, 0.05)
    assert repair.step == cause.suspicion.steps[0]
    assert describe_causes(diagnosis) == repair.because


@pytest.mark.parametrize("share", [0.6, 0.4, 0.2])
def test_a_thin_window_has_no_missing_days(share: float) -> None:
    thin = keep_some(make_case(), share, "basket_id")
    assert named(diagnose(thin)) == ["thin_data"]
    assert sorted(named(diagnose(drop_days(thin, 8, 12)))) == ["missing_days", "thin_data"]


@pytest.mark.parametrize("name", IN_ONE_STORE)
def test_a_fault_in_one_store_is_the_only_cause(name: str) -> None:
    assert named(diagnose_fault(f"{name}{ONE_STORE}")) == [name]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_faults_at_once_are_both_named(first: str, second: str) -> None:
    case = FAULTS[second](FAULTS[first](make_case()))
    assert sorted(named(diagnose(case))) == sorted([first, second])


def apply(step: EditParams, folder: Path) -> Path:
    """Write params.yaml with the changes of a step, as a person or the loop does."""
    yaml = YAML()
    params = yaml.load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for change in step.changes:
        *sections, key = change.key.split(".")
        section = params
        for name in sections:
            section = section[name]
        if change.operation == "append":
            section[key] = [*(section.get(key) or []), change.value]
        else:
            section[key] = change.value
    path = folder / "params.yaml"
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    return path


@pytest.mark.parametrize("name", [*FAULTS, *(f"{name}{ONE_STORE}" for name in IN_ONE_STORE)])
def test_params_accept_what_a_cause_appends(name: str, tmp_path: Path) -> None:
    for cause in diagnose_fault(name).causes:
        for step in cause.suspicion.steps:
            if step.kind == "edit_params":
                collection = read_params(apply(step, tmp_path)).collection
                members = (*collection.corrections, *collection.quarantined)
                n_appended = sum(change.operation == "append" for change in step.changes)
                assert len(members) == n_appended
                assert all(member.describe() for member in members)


def test_params_refuse_a_member_that_is_none(tmp_path: Path) -> None:
    (cause,) = diagnose_fault("unit_change").causes
    (step,) = cause.suspicion.steps
    assert step.kind == "edit_params"
    (change,) = step.changes
    assert isinstance(change.value, dict)
    wrong = change.model_copy(update={"value": change.value | {"factor": 0.0}})
    with pytest.raises(ParamsError, match="factor"):
        read_params(apply(step.model_copy(update={"changes": (wrong,)}), tmp_path))
