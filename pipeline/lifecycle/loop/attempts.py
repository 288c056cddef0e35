"""Carry an attempt through: apply its step, measure, keep it or take it back.

Every entry is written before the next change, so an attempt goes on from its last entry wherever
the loop was killed.
"""

import logging
from collections.abc import Callable, Sequence

from pipeline.contracts.errors import EvergreenError
from pipeline.lifecycle.errors import ConflictError, LoopError, StorageError
from pipeline.lifecycle.ledger.entries import Attempt
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.loop.choose import describe_step
from pipeline.lifecycle.loop.cycle import Cycle
from pipeline.lifecycle.loop.judge import judge_attempt
from pipeline.lifecycle.steps import step as steps

Measure = Callable[[Sequence[steps.Command]], Cycle]
"""Runs a cycle by its commands, and returns what it came to."""

log = logging.getLogger("evergreen")


def carry_out(attempt: Attempt, journal: Journal, measure: Measure) -> Cycle | None:
    """Take an attempt to its end.

    Args:
        attempt: An unfinished attempt.
        journal: The ledger.
        measure: Runs a cycle.

    Returns:
        The cycle after the step if it was kept and measured now, else None.

    Raises:
        StorageError: The disk is full; the attempt stays unfinished.
        ConflictError: Someone has changed what the step changed; the attempt is closed as failed.
        EvergreenError: The step cannot be taken back; the attempt is closed as failed.
    """
    cycle: Cycle | None = None
    while attempt.is_unfinished:
        if attempt.state in ("proposed", "answered"):
            attempt = _begin(attempt, journal)
        elif attempt.state == "applying":
            attempt = _apply(attempt, journal)
        elif attempt.state == "applied":
            attempt, cycle = _measure(attempt, journal, measure)
        elif attempt.state == "measured":
            attempt = _judge(attempt, journal)
        else:
            attempt = take_back(attempt, journal, measure)
    return cycle if attempt.state == "kept" else None


def _begin(attempt: Attempt, journal: Journal) -> Attempt:
    """Write down what the step is about to change."""
    log.info("Attempt %d: %s", attempt.number, describe_step(attempt.repair))
    try:
        effect = steps.prepare(attempt.repair.step)
    except StorageError:
        raise
    except EvergreenError as error:
        return _fail(attempt, journal, error)
    return journal.advance(attempt, "applying", effect=effect, by=attempt.by)


def _apply(attempt: Attempt, journal: Journal) -> Attempt:
    """Apply the step, unless it was applied before the loop was killed."""
    effect = attempt.effect
    assert effect is not None
    try:
        if not steps.is_applied(effect):
            steps.apply(effect)
    except StorageError:
        raise
    except EvergreenError as error:
        return _fail(attempt, journal, error)
    return journal.advance(attempt, "applied", by=attempt.by)


def _measure(attempt: Attempt, journal: Journal, measure: Measure) -> tuple[Attempt, Cycle]:
    """Run a cycle with the step, and check that the step held meanwhile."""
    effect = attempt.effect
    assert effect is not None
    cycle = measure(steps.choose_commands(effect))
    try:
        if not steps.is_applied(effect):
            raise ConflictError(
                f"the step of attempt {attempt.number} to hold while it was measured",
                received="the state before it",
                action="Someone has taken it back. Run `uv run python -m pipeline.lifecycle run`.",
            )
    except EvergreenError as error:
        _fail(attempt, journal, error)
        raise
    return journal.advance(attempt, "measured", after=cycle.assessment, by=attempt.by), cycle


def _judge(attempt: Attempt, journal: Journal) -> Attempt:
    """Keep the step or begin to take it back."""
    assert attempt.after is not None
    judgement = judge_attempt(attempt, attempt.after)
    word = "kept" if judgement.is_kept else "undone"
    log.info("Attempt %d is %s: %s.", attempt.number, word, judgement.reason)
    return journal.advance(
        attempt,
        "kept" if judgement.is_kept else "undoing",
        realised_gain=judgement.realised_gain,
        note=judgement.reason,
    )


def take_back(attempt: Attempt, journal: Journal, measure: Measure | None) -> Attempt:
    """Take back the step of an attempt whose last entry is `undoing`.

    Args:
        attempt: The attempt.
        journal: The ledger.
        measure: Runs monitoring after a change of the release, which DVC does not see; None to
            leave that to the caller.
    """
    undoing, effect = attempt.entries[-1], attempt.effect
    assert effect is not None
    try:
        steps.revert(effect)
    except StorageError:
        raise
    except EvergreenError as error:
        _fail(attempt, journal, error)
        raise
    if effect.kind == "release" and measure is not None:
        measure((steps.MONITOR,))
    return journal.advance(
        attempt,
        "undone",
        by=undoing.by,
        realised_gain=undoing.realised_gain,
        note=undoing.note,
    )


def undo(number: int, journal: Journal) -> Attempt:
    """Take back the step of an attempt, as a person decided.

    Raises:
        LoopError: There is no such attempt, or its step is not applied.
        ConflictError: Someone has changed what the step changed; nothing changes.
    """
    attempt = journal.find(number)
    if not attempt.is_applied or attempt.effect is None:
        raise LoopError(
            f"an attempt whose step is applied, to undo attempt {number}",
            received=f"'{attempt.state}' as its last entry",
            action="See `uv run python -m pipeline.lifecycle ledger`.",
        )
    steps.is_applied(attempt.effect)
    attempt = journal.advance(attempt, "undoing", by="person", note="a person took it back")
    return take_back(attempt, journal, None)


def _fail(attempt: Attempt, journal: Journal, error: EvergreenError) -> Attempt:
    log.warning("Attempt %d failed. %s", attempt.number, error)
    return journal.advance(attempt, "failed", by=attempt.by, note=str(error))
