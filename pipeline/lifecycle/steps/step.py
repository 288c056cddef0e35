"""The steps of repairs: prepare one, apply it, find out whether it is applied, take it back."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import read_params
from pipeline.contracts.phases import Phase
from pipeline.contracts.repairs import Step
from pipeline.lifecycle.errors import RefusedStepError, StorageError
from pipeline.lifecycle.ledger.entries import Effect, ParamsEffect, RerunEffect, RestartEffect
from pipeline.lifecycle.steps import copies, params_file, releases, restart

Command = tuple[str, ...]
REPRO: Command = ("dvc", "repro")


def force_stage(stage: Phase) -> Command:
    """Return the command that runs a stage although nothing that it depends on has changed."""
    return ("dvc", "repro", "--single-item", "--force", stage)


MONITOR = force_stage("monitoring")


def prepare(step: Step) -> Effect:
    """Return what a step would change; nothing changes yet.

    Raises:
        RefusedStepError: The step's precondition is not met.
        EvergreenError: params.yaml, the release pointer or a bundle is damaged.
    """
    if step.kind == "edit_params":
        files = copies.plan_copies(step.files)
        return ParamsEffect(changes=params_file.plan_changes(step.changes), files=files)
    if step.kind == "roll_back":
        return releases.prepare_rollback()
    if step.kind == "restart":
        return RestartEffect(workers=restart.find_workers())
    if step.kind == "rerun":
        return RerunEffect(stage=step.stage)
    raise RefusedStepError("a step of a program", received="a question", action="Answer it.")


def apply(effect: Effect) -> None:
    """Apply a step.

    Raises:
        RefusedStepError: It had no effect.
        StorageError: The disk is full.
        EvergreenError: It failed.
    """
    with report_full_disk():
        _apply(effect)


def choose_commands(effect: Effect) -> tuple[Command, ...]:
    """Return the commands of the cycle that measures a step.

    DVC does not see the release or the processes, so monitoring alone runs after a change of them.
    """
    if effect.kind == "params":
        return (REPRO,)
    if effect.kind == "rerun":
        return (force_stage(effect.stage), REPRO)
    return (MONITOR,)


def _apply(effect: Effect) -> None:
    if effect.kind == "params":
        copies.write_copies(effect.files)
        try:
            params_file.apply_changes(effect.changes)
        except EvergreenError:
            copies.remove_copies(effect.files)
            raise
    elif effect.kind == "release":
        releases.roll_back(effect, _ready_seconds())
    elif effect.kind == "restart":
        restart.replace_workers(effect.workers, _ready_seconds())


def is_applied(effect: Effect) -> bool:
    """Return whether a step whose loop was killed is applied.

    Raises:
        ConflictError: Someone has changed the same thing since.
    """
    if effect.kind == "params":
        return params_file.find_state(effect.changes) == "new"
    if effect.kind == "release":
        return releases.is_rolled_back(effect)
    if effect.kind == "restart":
        return not restart.is_any_alive(effect.workers)
    return True  # the cycle that measures a rerun runs the stage


def revert(effect: Effect) -> None:
    """Take a step back, if it is applied; a restart or a rerun leaves nothing to take back.

    Raises:
        ConflictError: Someone has changed the same thing since.
        StorageError: The disk is full.
        EvergreenError: It failed.
    """
    with report_full_disk():
        if effect.kind == "params":
            copies.check_copies(effect.files)
            params_file.revert_changes(effect.changes)
            copies.remove_copies(effect.files)
        elif effect.kind == "release" and releases.is_rolled_back(effect):
            releases.make_champion(effect.before, _ready_seconds())


@contextmanager
def report_full_disk() -> Iterator[None]:
    """Turn an error of the file system into one that says how to go on.

    Raises:
        StorageError: A file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            "to write what the step changes",
            received=f"{error}; nothing is written in part",
            action="Free some space or correct the permissions, then run "
            "`uv run python -m pipeline.lifecycle run`: it goes on where it stopped.",
        ) from error


def _ready_seconds() -> float:
    return read_params().deployment.ready_timeout_seconds
