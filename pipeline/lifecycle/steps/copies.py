"""The files that a change of params.yaml names: copied before it is written, removed after it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.contracts.artefacts import sha256
from pipeline.contracts.atomic import whole_file
from pipeline.contracts.repairs import FileCopy
from pipeline.lifecycle.errors import ConflictError, RefusedStepError
from pipeline.lifecycle.ledger.entries import CopiedFile


def plan_copies(files: Sequence[FileCopy]) -> tuple[CopiedFile, ...]:
    """Return the copies to make.

    Raises:
        RefusedStepError: A source is missing, or a target exists.
    """
    planned = []
    for file in files:
        source, target = Path(file.source), Path(file.target)
        if not source.is_file():
            raise RefusedStepError(
                f"the file '{source}' that the repair proposes",
                received="no such file",
                action="Run `uv run dvc repro --force --single-item monitoring` to propose it.",
            )
        if target.exists():
            raise RefusedStepError(
                f"no file '{target}' yet",
                received="an existing file",
                action="Remove it if no member of collection.corrections names it.",
            )
        planned.append(CopiedFile(**file.model_dump(), sha256=sha256(source)))
    return tuple(planned)


def write_copies(files: Sequence[CopiedFile]) -> None:
    """Copy the files whole; those that are copied already stay.

    Raises:
        RefusedStepError: A source is no longer what it was.
        OSError: The disk is full.
    """
    for file in files:
        source, target = Path(file.source), Path(file.target)
        if target.exists() and sha256(target) == file.sha256:
            continue
        if not source.is_file() or sha256(source) != file.sha256:
            raise RefusedStepError(
                f"'{source}' as it was proposed, with the sha256 {file.sha256[:12]}",
                received=sha256(source)[:12] if source.is_file() else "no such file",
                action="Run `uv run python -m pipeline.lifecycle run` to diagnose again.",
            )
        with whole_file(target) as temporary:
            shutil.copyfile(source, temporary)


def check_copies(files: Sequence[CopiedFile]) -> None:
    """Raise ConflictError if someone has changed a copy."""
    for file in files:
        target = Path(file.target)
        if target.exists() and sha256(target) != file.sha256:
            raise ConflictError(
                f"'{target}' as the step copied it, with the sha256 {file.sha256[:12]}",
                received=sha256(target)[:12],
                action="Someone has changed it since. Decide by hand what becomes of it.",
            )


def remove_copies(files: Sequence[CopiedFile]) -> None:
    """Remove the copies."""
    for file in files:
        Path(file.target).unlink(missing_ok=True)
