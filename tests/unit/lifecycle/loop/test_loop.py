from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.repairs import Ask, EditParams, RollBack
from pipeline.lifecycle.errors import ConflictError, LoopError
from pipeline.lifecycle.ledger.entries import Attempt, group_attempts
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.ledger.ledger_file import LEDGER, read_ledger
from pipeline.lifecycle.loop import answers
from pipeline.lifecycle.loop.attempts import undo
from pipeline.lifecycle.loop.loop import ExitCode, Loop, Outcome
from pipeline.lifecycle.loop.preview import preview
from pipeline.lifecycle.loop.questions import read_question
from pipeline.lifecycle.steps.step import REPRO
from pipeline.runtime import gates
from tests.support.fake_cycles import (
    DEEPER,
    DRIFT,
    REFIT,
    SICK,
    WELL,
    FakeCycles,
    Shop,
    build_repair,
    heals_by,
    set_key,
    write_cycle,
    write_project,
)

LOWER = EditParams.model_validate(
    {"changes": [{"key": "planning.target_headroom_fraction", "value": 0.01}]}
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def run(rule: Callable[[Params], Shop] | FakeCycles, **limits: Any) -> Outcome:
    runner = rule if isinstance(rule, FakeCycles) else FakeCycles(rule)
    return Loop(runner, Journal(), **limits).run()


def attempts() -> tuple[Attempt, ...]:
    return group_attempts(read_ledger().entries)


def states() -> list[tuple[str, str]]:
    return [(str(a.repair.step.changes[0].key), a.state) for a in attempts()]  # type: ignore[union-attr]


def test_a_healthy_shop_needs_one_cycle_and_no_ledger() -> None:
    runner = FakeCycles(lambda _: WELL)
    assert run(runner).code == ExitCode.HEALTHY
    assert runner.commands == [REPRO]
    assert not LEDGER.exists()


def test_the_first_repair_heals_and_is_kept() -> None:
    runner = FakeCycles(heals_by("families.ranker.epochs", 3))
    outcome = run(runner)
    assert outcome.code == ExitCode.HEALTHY
    assert states() == [("families.ranker.epochs", "kept")]
    assert len(runner.commands) == 2
    (attempt,) = attempts()
    assert [e.transition for e in attempt.entries] == [
        "proposed", "applying", "applied", "measured", "kept",
    ]  # fmt: skip
    assert attempt.entries[-1].realised_gain == pytest.approx(0.08)
    assert attempt.before.trouble is not None
    assert attempt.before.trouble.failing[0] == DRIFT
    assert {e.by for e in attempt.entries} == {"loop"}
    assert read_params().families.ranker.epochs == 3


def test_a_repair_that_does_not_help_is_undone_and_the_next_one_heals() -> None:
    before = Path("params.yaml").read_text(encoding="utf-8")
    runner = FakeCycles(heals_by("shop.as_of", "2017-12-11"))
    assert run(runner).code == ExitCode.HEALTHY
    assert states() == [("families.ranker.epochs", "undone"), ("shop.as_of", "kept")]
    # sick; with the first repair; as before; with the second repair
    assert [p.families.ranker.epochs for p in runner.seen] == [2, 3, 2, 2]
    after = Path("params.yaml").read_text(encoding="utf-8")
    assert after == before.replace('as_of: "2017-12-04"', 'as_of: "2017-12-11"')


def test_in_other_weeks_the_realised_gain_is_that_of_the_lead() -> None:
    run(heals_by("shop.as_of", "2017-12-11", sick=replace(SICK, repairs=(REFIT,))))
    assert attempts()[-1].entries[-1].realised_gain == pytest.approx(0.03)


def test_nothing_helps() -> None:
    before = Path("params.yaml").read_bytes()
    runner = FakeCycles(lambda _: SICK)
    outcome = run(runner)
    assert outcome.code == ExitCode.NOTHING_HELPED
    assert "undone: set shop.as_of to '2017-12-11'" in outcome.message
    assert "accept monitoring" in outcome.message
    assert Path("params.yaml").read_bytes() == before
    assert runner.seen[-1] == runner.seen[0]  # the reports are of the restored params


def test_a_repair_that_was_undone_is_not_tried_again_until_the_shop_was_healthy() -> None:
    run(lambda _: SICK)
    runner = FakeCycles(lambda _: SICK)
    assert run(runner).code == ExitCode.NOTHING_HELPED
    assert len(runner.commands) == 1
    run(lambda _: WELL)
    run(lambda _: SICK)
    assert len(attempts()) == 4


def test_a_repair_for_another_cause_is_another_repair() -> None:
    run(lambda _: replace(SICK, repairs=(REFIT,)))
    other = REFIT.model_copy(update={"cause": "concept_drift"})
    run(lambda _: replace(SICK, repairs=(REFIT, other)))
    assert [a.repair.cause for a in attempts()] == ["aged", "concept_drift"]


def test_out_of_cycles() -> None:
    runner = FakeCycles(lambda _: SICK)
    outcome = run(runner, maximum_cycles=3)
    assert outcome.code == ExitCode.OUT_OF_BUDGET
    assert "Not tried yet: set shop.as_of to '2017-12-11'" in outcome.message
    assert len(runner.commands) == 3


def test_a_repair_that_exceeds_the_budget_gives_way_to_one_that_fits() -> None:
    cheap = set_key("families.ranker.epochs", 4, expected_gain=0.0001, cost_minutes=1.0)
    sick = replace(SICK, repairs=(REFIT, cheap))
    assert run(lambda _: sick, budget_minutes=2.0).code == ExitCode.OUT_OF_BUDGET
    assert states() == [("families.ranker.epochs", "undone")]


def test_a_repair_that_makes_served_answers_worse_is_undone_although_the_verdict_proceeds() -> None:
    worse = Shop(recall=0.02)
    sick = replace(SICK, repairs=(DEEPER,))
    outcome = run(heals_by("families.ranker.epochs", 3, sick=sick, well=worse))
    assert outcome.code == ExitCode.NOTHING_HELPED
    assert "served answers became worse" in attempts()[0].entries[-1].note
    assert read_params().families.ranker.epochs == 2


def test_a_cycle_that_fails_with_a_repair_undoes_it() -> None:
    def rule(params: Params) -> Shop:
        deeper = params.families.ranker.epochs == 3
        return Shop(broken_stage="families@mlp") if deeper else replace(SICK, repairs=(DEEPER,))

    assert run(rule).code == ExitCode.NOTHING_HELPED
    assert "families@mlp failed" in attempts()[0].entries[-1].note


def test_a_cycle_that_fails_by_itself_is_an_error_with_its_stage() -> None:
    with pytest.raises(LoopError, match=r"families@mlp failed \(exit code 1\): Expected a table"):
        run(lambda _: Shop(broken_stage="families@mlp"))


def test_two_causes_are_repaired_one_after_the_other() -> None:
    def rule(params: Params) -> Shop:
        if params.families.ranker.epochs == 2:
            return Shop(trouble="testing", repairs=(DEEPER,))
        return heals_by("shop.as_of", "2017-12-11")(params)

    assert run(rule).code == ExitCode.HEALTHY
    assert states() == [("families.ranker.epochs", "kept"), ("shop.as_of", "kept")]


def test_an_accepted_verdict_is_not_repaired() -> None:
    write_cycle(SICK)
    gates.accept("monitoring", "The week is Christmas")
    runner = FakeCycles(lambda _: SICK)
    assert run(runner).code == ExitCode.HEALTHY
    assert attempts() == ()


def test_the_dry_run_changes_nothing() -> None:
    write_cycle(SICK)
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    text = preview()
    assert "1. aged: set families.ranker.epochs to 3" in text
    assert "2. aged: set shop.as_of to '2017-12-11'" in text
    assert "expected gain +0.0200, cost 10.0 minutes; Input drift is 0.8." in text
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before


def test_params_that_a_person_changed_while_the_loop_measured_are_left_alone() -> None:
    path = Path("params.yaml")

    def change() -> None:
        path.write_text(path.read_text().replace("epochs: 3  ", "epochs: 7  ", 1))

    runner = FakeCycles(lambda _: replace(SICK, repairs=(DEEPER,)), after=change)
    with pytest.raises(ConflictError, match=r"epochs to be 3 .* got 7 \(before the step: 2\)"):
        run(runner)
    assert read_params().families.ranker.epochs == 7
    assert states() == [("families.ranker.epochs", "failed")]
    assert run(lambda _: WELL).code == ExitCode.HEALTHY


def test_a_change_of_another_key_meanwhile_survives_the_undoing() -> None:
    path = Path("params.yaml")

    def change() -> None:
        path.write_text(path.read_text().replace("patience: 2 ", "patience: 5 ", 1))

    run(FakeCycles(lambda _: replace(SICK, repairs=(DEEPER,)), after=change))
    assert (read_params().families.ranker.epochs, read_params().families.ranker.patience) == (2, 5)


def test_a_refused_repair_makes_way_for_the_next() -> None:
    wrong = set_key("families.ranker.epochs", -1, expected_gain=1.0)
    assert (
        run(heals_by("shop.as_of", "2017-12-11", replace(SICK, repairs=(wrong, REFIT)))).code == 0
    )
    assert states() == [("families.ranker.epochs", "failed"), ("shop.as_of", "kept")]
    assert "epochs" in attempts()[0].entries[-1].note


def test_undo_restores_the_value_and_is_not_fought_by_the_loop() -> None:
    rule = heals_by("families.ranker.epochs", 3, sick=replace(SICK, repairs=(DEEPER,)))
    run(rule)
    undo(1, Journal())
    assert read_params().families.ranker.epochs == 2
    assert attempts()[0].entries[-1].by == "person"
    assert run(rule).code == ExitCode.NOTHING_HELPED
    with pytest.raises(LoopError, match="'undone' as its last entry"):
        undo(1, Journal())


def test_undo_of_a_value_that_changed_since_shows_both_and_changes_nothing() -> None:
    run(heals_by("families.ranker.epochs", 3))
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("epochs: 3  ", "epochs: 9  ", 1))
    before, ledger = path.read_bytes(), LEDGER.read_bytes()
    with pytest.raises(ConflictError, match=r"to be 3 .*, got 9 \(before the step: 2\)"):
        undo(1, Journal())
    assert (path.read_bytes(), LEDGER.read_bytes()) == (before, ledger)


ASK = build_repair(
    Ask(question="Is the week a holiday?", options=("holiday",), steps={"lower": LOWER}),
    cause="seasonal",
)


def test_a_question_is_asked_only_when_nothing_else_is_left_and_only_once() -> None:
    sick = replace(SICK, repairs=(ASK, DEEPER))
    outcome = run(lambda _: sick)
    assert outcome.code == ExitCode.QUESTION
    assert [a.state for a in attempts()] == ["undone", "asked"]
    assert "uv run python -m pipeline.lifecycle answer 2 OPTION" in outcome.message
    question = read_question(2)
    assert question.options == ("holiday", "lower", "done", "accept")
    assert question.trouble.failing[0] == DRIFT
    assert run(lambda _: sick).code == ExitCode.QUESTION
    assert len(attempts()) == 2
    assert "Question 2: Is the week a holiday?" in preview()


def test_an_answer_with_a_step_is_carried_out_and_kept_as_a_person_decided() -> None:
    sick = replace(SICK, repairs=(ASK,))
    run(lambda _: sick)
    answers.answer(1, "lower", None, Journal())
    assert run(lambda _: sick).code == ExitCode.NOTHING_HELPED
    assert read_params().planning.target_headroom_fraction == 0.01
    (attempt,) = attempts()
    assert (attempt.state, attempt.by) == ("kept", "person")
    assert read_question(1).answer == "lower"


def test_an_answer_that_accepts_the_verdict_makes_the_shop_healthy() -> None:
    sick = replace(SICK, repairs=(ASK,))
    run(lambda _: sick)
    answers.answer(1, "accept", "It is Thanksgiving", Journal())
    assert gates.find_acceptance(artefacts.read_verdict("monitoring")) is not None
    assert run(lambda _: sick).code == ExitCode.HEALTHY


def test_an_acceptance_of_a_verdict_that_changed_since_is_refused() -> None:
    run(lambda _: replace(SICK, repairs=(ASK,)))
    write_cycle(replace(SICK, failing=(DRIFT,)))
    with pytest.raises(LoopError, match="got 'return', input_drift"):
        answers.answer(1, "accept", "It is Thanksgiving", Journal())
    assert attempts()[0].state == "asked"


@pytest.mark.parametrize(("number", "option"), [(1, "maybe"), (9, "done")])
def test_an_answer_to_nothing_is_refused(number: int, option: str) -> None:
    run(lambda _: replace(SICK, repairs=(ASK,)))
    with pytest.raises(LoopError):
        answers.answer(number, option, None, Journal())


def test_a_question_is_closed_by_health_and_by_its_answer() -> None:
    run(lambda _: replace(SICK, repairs=(ASK,)))
    answers.answer(1, "holiday", None, Journal())
    with pytest.raises(LoopError, match="'answered' as its last entry"):
        answers.answer(1, "holiday", None, Journal())
    run(lambda _: WELL)
    run(lambda _: replace(SICK, repairs=(ASK,)))
    run(lambda _: WELL)
    with pytest.raises(LoopError, match="healthy since"):
        answers.answer(2, "holiday", None, Journal())


def test_a_rollback_that_is_refused_becomes_a_question() -> None:
    outcome = run(lambda _: replace(SICK, repairs=(build_repair(RollBack()),)))
    assert outcome.code == ExitCode.QUESTION
    assert [a.state for a in attempts()] == ["failed", "asked"]
    assert "The loop could not roll back to the previous champion" in outcome.message


def test_a_loop_that_is_stopped_in_a_cycle_goes_on_with_it_later() -> None:
    stopping: list[bool] = []
    rule = heals_by("families.ranker.epochs", 3)

    def killed(params: Params) -> Shop:
        if params.families.ranker.epochs == 3:  # SIGTERM ends the stage as well as the loop
            stopping.append(True)
            return Shop(broken_stage="families@mlp")
        return rule(params)

    outcome = run(killed, is_stopping=lambda: bool(stopping))
    assert outcome.code == ExitCode.STOPPED
    assert states() == [("families.ranker.epochs", "applied")]
    assert run(rule).code == ExitCode.HEALTHY
    assert states() == [("families.ranker.epochs", "kept")]
