"""The loop: a cycle, its verdict, one repair, another cycle, until the shop is healthy."""

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from pipeline.contracts.repairs import Ask, Repair
from pipeline.contracts.verdicts import Verdict
from pipeline.lifecycle.errors import LoopError
from pipeline.lifecycle.ledger.entries import Assessment, Attempt
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.loop import questions
from pipeline.lifecycle.loop.attempts import carry_out
from pipeline.lifecycle.loop.choose import (
    describe_candidates,
    describe_step,
    fits_budget,
    rank_repairs,
)
from pipeline.lifecycle.loop.cycle import Cycle, Runner, run_cycle
from pipeline.lifecycle.steps.step import REPRO, Command
from pipeline.runtime import gates

MAXIMUM_CYCLES = 10

log = logging.getLogger("evergreen")


class ExitCode(IntEnum):
    """How a loop ends; 1 is an error and 2 a wrong command line."""

    HEALTHY = 0
    OUT_OF_BUDGET = 3
    QUESTION = 4
    NOTHING_HELPED = 5
    STOPPED = 130


@dataclass(frozen=True)
class Outcome:
    """How a loop ended, for programs and for people."""

    code: ExitCode
    message: str


class StoppedError(Exception):
    """The loop was asked to stop while a cycle ran, and the cycle ended early."""


def never() -> bool:
    """Return False: no one asks the loop to stop."""
    return False


@dataclass
class Loop:
    """One run of the loop; its owner holds the lock.

    Attributes:
        runner: Runs `dvc repro`.
        journal: The ledger.
        maximum_cycles: No repair is begun after so many cycles.
        budget_minutes: No repair is begun that is expected to exceed it; None for no limit.
        is_stopping: Whether to stop before the next step.
    """

    runner: Runner
    journal: Journal
    maximum_cycles: int = MAXIMUM_CYCLES
    budget_minutes: float | None = None
    is_stopping: Callable[[], bool] = never
    n_cycles: int = 0
    started: float = field(default_factory=time.monotonic)

    def run(self) -> Outcome:
        """Return how the loop ended.

        Raises:
            LoopError: A cycle failed without a verdict, or a step cannot be taken back.
            EvergreenError: params.yaml, a verdict or the ledger is damaged.
        """
        try:
            return self._run()
        except StoppedError:
            words = "Stopped. `uv run python -m pipeline.lifecycle run` goes on from here."
            return Outcome(ExitCode.STOPPED, words)

    def _run(self) -> Outcome:
        cycle = None
        unfinished = self.journal.unfinished
        if unfinished is not None:
            log.info("Attempt %d is taken up: %s.", unfinished.number, unfinished.state)
            if unfinished.repair.step.kind == "ask":
                return self._ask(unfinished)
            cycle = carry_out(unfinished, self.journal, self._cycle)
        while True:
            if self.is_stopping():
                raise StoppedError
            cycle = cycle or self._cycle((REPRO,))
            if cycle.assessment.failure is not None:
                raise _build_failure(cycle.assessment)
            if cycle.verdict is None:
                self.journal.note_health()
                return Outcome(ExitCode.HEALTHY, self._describe_health())
            choice = self._choose(cycle.verdict)
            if isinstance(choice, Outcome):
                return choice
            attempt = self.journal.propose(choice, cycle.assessment)
            if choice.step.kind == "ask":
                return self._ask(attempt)
            cycle = carry_out(attempt, self.journal, self._cycle)

    def _cycle(self, commands: Sequence[Command]) -> Cycle:
        """Run a cycle; one that ends early because the loop is to stop is no measurement."""
        if self.is_stopping():
            raise StoppedError
        self.n_cycles += 1
        cycle = run_cycle(commands, self.runner)
        if cycle.assessment.failure is not None and self.is_stopping():
            raise StoppedError
        return cycle

    def _choose(self, verdict: Verdict) -> Repair | Outcome:
        """Return the repair to try, or why there is none."""
        repairs = (*verdict.repairs, *build_refusal_questions(self.journal.episode, verdict))
        ranked = rank_repairs(repairs, self.journal.tried)
        log.info("%s", "\n".join(describe_candidates(verdict, ranked)))
        programs = [repair for repair in ranked if repair.step.kind != "ask"]
        if programs:
            fitting = [r for r in programs if fits_budget(r, self._minutes_left())]
            if self.n_cycles < self.maximum_cycles and fitting:
                return fitting[0]
            return Outcome(ExitCode.OUT_OF_BUDGET, self._describe_budget(verdict, programs))
        question = find_open_question(self.journal.episode, verdict)
        if question is not None:
            return describe_question(question)
        if ranked:
            return ranked[0]
        tried = [a for a in self.journal.episode if a.state in ("undone", "failed", "answered")]
        return Outcome(ExitCode.NOTHING_HELPED, _describe_end(verdict, tried))

    def _ask(self, attempt: Attempt) -> Outcome:
        """Write the question of an attempt, and return how to answer it."""
        questions.write_question(questions.build_question(attempt))
        return describe_question(self.journal.advance(attempt, "asked"))

    def _minutes_left(self) -> float:
        used = (time.monotonic() - self.started) / 60
        return float("inf") if self.budget_minutes is None else self.budget_minutes - used

    def _describe_health(self) -> str:
        cycles = "1 cycle" if self.n_cycles == 1 else f"{self.n_cycles} cycles"
        return f"Every phase is healthy, or a person has accepted its verdict, after {cycles}."

    def _describe_budget(self, verdict: Verdict, programs: Sequence[Repair]) -> str:
        minutes = (time.monotonic() - self.started) / 60
        return (
            f"Out of budget after {self.n_cycles} cycles and {minutes:.1f} minutes. "
            f"{verdict.phase} says '{verdict.status}': {verdict.cause}. Not tried yet: "
            f"{'; '.join(describe_step(repair) for repair in programs)}."
        )


def build_refusal_questions(episode: Sequence[Attempt], verdict: Verdict) -> tuple[Repair, ...]:
    """Return a question for each rollback and restart of this phase that could not be done."""
    refused = [
        attempt
        for attempt in episode
        if attempt.state == "failed" and attempt.repair.step.kind in ("roll_back", "restart")
        and attempt.before.trouble is not None
        and attempt.before.trouble.phase == verdict.phase
    ]  # fmt: skip
    return tuple(
        attempt.repair.model_copy(
            update={
                "step": Ask(
                    question=f"The loop could not {describe_step(attempt.repair)}. "
                    f"{attempt.entries[-1].note} What should be done?"
                ),
                "expected_gain": None,
                "cost_minutes": None,
            }
        )
        for attempt in refused
    )


def _build_failure(assessment: Assessment) -> LoopError:
    return LoopError(
        "a cycle that ends with verdicts",
        received=str(assessment.failure),
        action="Correct the cause that the output above names, then run "
        "`uv run python -m pipeline.lifecycle run`.",
    )


def find_open_question(episode: Sequence[Attempt], verdict: Verdict) -> Attempt | None:
    """Return the question about this phase that waits for an answer, or None."""
    asked = [attempt for attempt in episode if attempt.state == "asked"]
    for attempt in asked:
        trouble = attempt.before.trouble
        if trouble is not None and trouble.phase == verdict.phase:
            return attempt
    return None


def describe_question(attempt: Attempt) -> Outcome:
    """Return the outcome of a loop that waits for an answer."""
    question = questions.build_question(attempt)
    lines = [
        f"Question {question.number}: {question.question}",
        f"  because: {question.because}",
        *(f"  fails: {item.in_words()}" for item in question.trouble.failing),
        f"  options: {', '.join(map(shlex.quote, question.options))}",
        f"Read {questions.QUESTIONS}/{question.number}.json, then answer: `{question.command}`.",
    ]
    return Outcome(ExitCode.QUESTION, "\n".join(lines))


def _describe_end(verdict: Verdict, tried: Sequence[Attempt]) -> str:
    lines = [f"Nothing helped. {verdict.phase} says '{verdict.status}': {verdict.cause}."]
    for attempt in tried:
        last = attempt.entries[-1]
        lines.append(
            f"  {attempt.state}: {describe_step(attempt.repair)} ({last.answer or last.note})"
        )
    advice = verdict.action or "Correct the cause."
    accept = gates.accept_command(verdict.phase)
    return "\n".join([*lines, f"{advice} Or accept it as it is: `{accept}`."])
