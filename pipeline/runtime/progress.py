"""Where a cycle stands, for whoever watches it: which stage of how many, and how far a step is.

Which stage runs is also on disk while it does, and stays there if it fails, with the reason: the
summary after `make repro` names it. Nothing of this is an output.
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


def stages_of(pipeline: Path, families: Sequence[str]) -> list[str]:
    """Return the names of the stages in the order of dvc.yaml, one per family of the matrix."""
    from ruamel.yaml import YAML

    entries: dict[str, Any] = YAML(typ="safe", pure=True).load(pipeline.read_text("utf-8"))
    found: list[str] = []
    for name, entry in entries["stages"].items():
        found += [f"{name}@{each}" for each in families] if "matrix" in entry else [name]
    return found


def place_of(stage: str, params: Params) -> str:
    """Return 'Stage 3 of 8: labeling', or the name alone where there is no dvc.yaml."""
    if not PIPELINE.exists():
        return f"Stage {stage}"
    stages = stages_of(PIPELINE, params.training.families)
    if stage not in stages:
        return f"Stage {stage}"
    return f"Stage {stages.index(stage) + 1} of {len(stages)}: {stage}"


@contextmanager
def shown(stage: str, params: Params) -> Iterator[None]:
    """Say which stage begins, and leave its name and the reason on disk if it fails."""
    log.info("%s", place_of(stage, params))
    note_running(stage, "it was stopped")
    try:
        yield
    except BaseException as error:
        note_running(stage, str(error) or type(error).__name__)
        raise
    RUNNING.unlink(missing_ok=True)


def note_running(stage: str, why: str) -> None:
    """Write down which stage runs, and why it did not end well if nothing is written after."""
    write_json({"stage": stage, "why": why}, RUNNING)


def stopped(since: float = 0.0) -> tuple[str, str] | None:
    """Return which stage did not end well since then, and why; None if there is no such."""
    if not RUNNING.exists() or RUNNING.stat().st_mtime < since:
        return None
    found = json.loads(RUNNING.read_text(encoding="utf-8"))
    return found["stage"], found["why"]


def steps(
    iterable: Iterable[Step], name: str, total: int, *, seconds: float = SECONDS_BETWEEN
) -> Iterator[Step]:
    """Yield what `iterable` yields and show how far it is.

    A terminal gets a bar that is gone in the end, a file a line now and then.

    Args:
        iterable: Of the steps.
        name: What they are of.
        total: Their number.
        seconds: The least time between two lines, and before the first.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, name, total=total, leave=False, delay=1)
        return
    told = time.monotonic()
    for number, step in enumerate(iterable, start=1):
        yield step
        if time.monotonic() - told >= seconds:
            told = time.monotonic()
            log.info("%s: %d %% (%d of %d)", name, 100 * number // max(total, 1), number, total)
