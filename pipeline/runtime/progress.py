"""Progress of a cycle: the current stage, and how far a step is.

A file names the running stage. It stays if the stage fails, with the reason, for the summary after
`make repro`. It is not a DVC output.
"""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.contracts.artefacts import write_json
from pipeline.contracts.params import Params

PIPELINE = Path("dvc.yaml")
RUNNING = Path("reports/costs/running.json")
SECONDS_BETWEEN = 10.0

Step = TypeVar("Step")

log = logging.getLogger("evergreen")


def read_stage_names(pipeline: Path, families: Sequence[str]) -> list[str]:
    """Return the names of the stages in the order of dvc.yaml, one per family of the matrix."""
    from ruamel.yaml import YAML

    entries: dict[str, Any] = YAML(typ="safe", pure=True).load(pipeline.read_text("utf-8"))
    names: list[str] = []
    for name, entry in entries["stages"].items():
        names += [f"{name}@{family}" for family in families] if "matrix" in entry else [name]
    return names


def describe_position(stage: str, params: Params) -> str:
    """Return 'Stage 3 of 8: labeling', or the name alone if there is no dvc.yaml."""
    if not PIPELINE.exists():
        return f"Stage {stage}"
    stages = read_stage_names(PIPELINE, params.training.families)
    if stage not in stages:
        return f"Stage {stage}"
    return f"Stage {stages.index(stage) + 1} of {len(stages)}: {stage}"


@contextmanager
def report_stage(stage: str, params: Params) -> Iterator[None]:
    """Log the stage that starts; if it fails, leave its name and the reason on disk."""
    log.info("%s", describe_position(stage, params))
    write_running(stage, "it was stopped")
    try:
        yield
    except BaseException as error:
        write_running(stage, str(error) or type(error).__name__)
        raise
    RUNNING.unlink(missing_ok=True)


def write_running(stage: str, why: str) -> None:
    """Write the running stage, and the reason that holds if the process ends now."""
    write_json({"stage": stage, "why": why}, RUNNING)


def read_failure(since: float = 0.0) -> tuple[str, str] | None:
    """Return the stage that failed after `since` and the reason, or None.

    Args:
        since: Seconds since 1970.
    """
    if not RUNNING.exists() or RUNNING.stat().st_mtime < since:
        return None
    failure = json.loads(RUNNING.read_text(encoding="utf-8"))
    return failure["stage"], failure["why"]


def log_progress(
    iterable: Iterable[Step], name: str, total: int, *, seconds: float = SECONDS_BETWEEN
) -> Iterator[Step]:
    """Yield the steps and show the progress: a bar in a terminal, log lines otherwise.

    Args:
        iterable: The steps.
        name: Label of the progress.
        total: Number of steps.
        seconds: Minimum time between two lines, and before the first.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, name, total=total, leave=False, delay=1)
        return
    logged_at = time.monotonic()
    for number, step in enumerate(iterable, start=1):
        yield step
        if time.monotonic() - logged_at >= seconds:
            logged_at = time.monotonic()
            log.info("%s: %d %% (%d of %d)", name, 100 * number // max(total, 1), number, total)
