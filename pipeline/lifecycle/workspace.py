"""Whether what a phase judged lies here: outputs, code, settings and inputs against dvc.lock.

DVC compares; it keeps the hashes of files that have not changed, so that a look takes a second or
two. Nothing is locked and nothing is written, so one may look while `dvc repro` runs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.verdicts import PHASES, Phase

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

DELETED = "deleted"


@dataclass(frozen=True)
class Workspace:
    """How what lies here differs from what the verdict of a phase judged.

    Attributes:
        is_recorded: Whether the phase has run to its end, here or in the commit's dvc.lock.
        changed: Outputs, code, inputs and parameters that are not what they were.
        missing: Outputs that are not here.
        missing_inputs: Inputs that are not here.
        is_cached: Whether DVC's cache has all that is missing.
        has_remote: Whether there is a remote that may have it.
    """

    is_recorded: bool = True
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    missing_inputs: tuple[str, ...] = ()
    is_cached: bool = False
    has_remote: bool = False


def read_workspaces() -> dict[Phase, Workspace]:
    """Return how every phase that dvc.yaml names stands here.

    Raises:
        ArtefactError: The working directory is not the project's root, or dvc.yaml, dvc.lock or
            params.yaml cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return {
                phase: _compared(repo, stages)
                for phase, stages in by_phase(repo.stage.load_all()).items()
            }
    except DvcException as error:
        raise ArtefactError(
            "a DVC project with dvc.yaml, params.yaml and dvc.lock",
            received=f"{type(error).__name__}: {error}",
            action="Run the command in the project's root: `make status`.",
        ) from error


def by_phase(stages: Iterable["PipelineStage"]) -> "dict[Phase, list[PipelineStage]]":
    """Return the stages of each phase: its own, and those right before it that are no phase."""
    phases: dict[Phase, list[PipelineStage]] = {}
    waiting: list[PipelineStage] = []
    for stage in stages:
        waiting.append(stage)
        phase = next((phase for phase in PHASES if phase == stage.name), None)
        if phase is not None:
            phases[phase], waiting = waiting, []
    return phases


def _compared(repo: "Repo", stages: "list[PipelineStage]") -> Workspace:
    outs = [out for stage in stages for out in stage.outs]
    deps = [dep for stage in stages for dep in stage.deps]
    differences = [(entry, *found) for entry in (*outs, *deps) for found in _differences(entry)]
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
