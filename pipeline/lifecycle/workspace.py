"""The state of the files that a phase judged: outputs, code, settings and inputs against dvc.lock.

DVC compares them; it caches the hashes of unchanged files, so this takes a second or two. Nothing
is locked or written, so it can run during `dvc repro`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.phases import PHASES, Phase

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

DELETED = "deleted"


@dataclass(frozen=True)
class Workspace:
    """The differences between the files here and those that a verdict judged.

    Attributes:
        is_recorded: Whether dvc.lock records a complete run of the phase.
        changed: Outputs, code, inputs and parameters that have changed.
        missing: Missing outputs.
        missing_inputs: Missing inputs.
        is_cached: Whether DVC's cache has all missing files.
        has_remote: Whether a DVC remote is configured.
    """

    is_recorded: bool = True
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    missing_inputs: tuple[str, ...] = ()
    is_cached: bool = False
    has_remote: bool = False


def read_workspaces() -> dict[Phase, Workspace]:
    """Return the state of every phase of dvc.yaml.

    Raises:
        ArtefactError: If the working directory is not the project's root, or dvc.yaml, dvc.lock or
            params.yaml cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return {
                phase: _compare(repo, stages)
                for phase, stages in group_by_phase(repo.stage.load_all()).items()
            }
    except DvcException as error:
        raise ArtefactError(
            "a DVC project with dvc.yaml, params.yaml and dvc.lock",
            received=f"{type(error).__name__}: {error}",
            action="Run the command in the project's root: `make status`.",
        ) from error


def group_by_phase(stages: Iterable["PipelineStage"]) -> "dict[Phase, list[PipelineStage]]":
    """Return the stages of each phase: its own, and the stages before it that are not phases."""
    phases: dict[Phase, list[PipelineStage]] = {}
    waiting: list[PipelineStage] = []
    for stage in stages:
        waiting.append(stage)
        phase = next((phase for phase in PHASES if phase == stage.name), None)
        if phase is not None:
            phases[phase], waiting = waiting, []
    return phases


def _compare(repo: "Repo", stages: "list[PipelineStage]") -> Workspace:
    outs = [out for stage in stages for out in stage.outs]
    deps = [dep for stage in stages for dep in stage.deps]
    entries = (*outs, *deps)
    differences = [(entry, path, how) for entry in entries for path, how in _differences(entry)]
    missing = [entry for entry, _, how in differences if how == DELETED]
    changed = [name for _, name, how in differences if how != DELETED]
    changed += [f"cmd of {stage.addressing}" for stage in stages if stage.changed_stage()]
    missing_outs = [str(entry) for entry in missing if entry in outs]
    missing_deps = dict.fromkeys(str(entry) for entry in missing if entry in deps)
    return Workspace(
        is_recorded=all(out.hash_info for out in outs),
        changed=tuple(dict.fromkeys(changed)),
        missing=tuple(missing_outs),
        missing_inputs=tuple(name for name in missing_deps if name not in missing_outs),
        is_cached=all(_is_cached(repo, entry) for entry in missing),
        has_remote=bool(repo.config["core"].get("remote")),
    )


def _differences(entry: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each difference of an output or a dependency."""
    for path, how in entry.workspace_status().items():
        if isinstance(how, dict):  # parameters, by name
            yield from ((f"{path}: {name}", "modified") for name in how)
        else:
            yield path, how


def _is_cached(repo: "Repo", entry: Any) -> bool:
    return bool(entry.hash_info) and bool(repo.cache.local.exists(entry.hash_info.value))
