"""One cycle: `dvc repro`, then the verdict that matters and the quality of served answers.

A verdict that returns or stops gates what follows it, so at most one verdict is current and open:
the first that returns or stops and that no person has accepted. What later phases left on disk is
of an earlier cycle.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.phases import PHASES, Phase
from pipeline.contracts.verdicts import Verdict
from pipeline.lifecycle.ledger.entries import Assessment, Measurement, Trouble
from pipeline.lifecycle.steps.step import Command
from pipeline.runtime import gates, progress
from pipeline.runtime.stage import quiet_tools

PARTS: dict[str, Phase] = {"families": "training", "refit": "deployment"}  # stages without verdict
LEAD = "lead_over_frequency"

Runner = Callable[[Sequence[str]], int]
"""Runs a command in the project's root, streams its output, and returns its exit code."""

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class Cycle:
    """A cycle that has ended.

    Attributes:
        assessment: The state after it.
        verdict: The verdict of the trouble, with its repairs; None if there is none.
    """

    assessment: Assessment
    verdict: Verdict | None


class _Interval(BaseModel):
    value: float
    low: float
    high: float


def build_runner(lock: int) -> Runner:
    """Return the runner of commands of this environment; its processes hold the lock too.

    Args:
        lock: File descriptor of the loop's lock.
    """
    quiet_tools()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

    def run(command: Sequence[str]) -> int:
        arguments = [sys.executable, "-m", *command]
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(arguments, env=environment, pass_fds=(lock,), check=False)  # noqa: S603
        return done.returncode

    return run


def run_cycle(commands: Sequence[Command], runner: Runner) -> Cycle:
    """Run a cycle and return what it came to; a command that fails is the last.

    Raises:
        ArtefactError: A verdict or the metrics of monitoring cannot be read.
        ParamsError: params.yaml is invalid.
    """
    since, started, code = time.time(), time.monotonic(), 0
    for command in commands:
        log.info("$ %s", " ".join(command))
        code = runner(command)
        if code != 0:
            break
    minutes = (time.monotonic() - started) / 60
    return read_cycle(code, since=since, minutes=minutes)


def read_cycle(code: int = 0, *, since: float = 0.0, minutes: float = 0.0) -> Cycle:
    """Return what a cycle came to.

    Args:
        code: Exit code of `dvc repro`.
        since: Start of the cycle, in seconds since 1970.
        minutes: Minutes that it took.
    """
    stopped = None if code == 0 else progress.read_failure(since)
    verdict = find_trouble(PHASES if code == 0 else _list_current(stopped))
    trouble = None if verdict is None else describe_trouble(verdict)
    failure = None
    if verdict is None and code != 0:
        stage, why = stopped or ("dvc repro", "see its output above")
        failure = f"{stage} failed (exit code {code}): {why}"
    was_monitored = failure is None and (trouble is None or trouble.phase == "monitoring")
    measurement = read_measurement(read_params()) if was_monitored else None
    assessment = Assessment(
        trouble=trouble, measurement=measurement, failure=failure, minutes=round(minutes, 2)
    )
    return Cycle(assessment, verdict)


def _list_current(stopped: tuple[str, str] | None) -> tuple[Phase, ...]:
    """Return the phases whose verdicts are of this cycle, which ended in a stage that failed.

    A phase that says `stop` is the failed stage itself.
    """
    if stopped is None:
        return ()
    stage = stopped[0].split("@")[0]
    phase = PARTS.get(stage, stage)
    position = next((n for n, name in enumerate(PHASES) if name == phase), 0)
    current = PHASES[:position]
    is_phase = stage in PHASES and artefacts.verdict(PHASES[position]).path.exists()
    if is_phase and artefacts.read_verdict(PHASES[position]).status == "stop":
        return (*current, PHASES[position])
    return current


def find_trouble(phases: Sequence[Phase]) -> Verdict | None:
    """Return the first verdict of `phases` that returns or stops and is not accepted, or None.

    Raises:
        ArtefactError: A verdict is missing, or cannot be read.
    """
    verdicts = (artefacts.read_verdict(phase) for phase in phases)
    return next((verdict for verdict in verdicts if not gates.may_go_on(verdict)), None)


def describe_trouble(verdict: Verdict) -> Trouble:
    """Return the trouble of a verdict that returns or stops."""
    assert verdict.status != "proceed"
    return Trouble(
        phase=verdict.phase, status=verdict.status, cause=verdict.cause, failing=verdict.failing
    )


def read_measurement(params: Params) -> Measurement | None:
    """Return the primary metric on served answers; None if no label is known yet.

    Raises:
        ArtefactError: The metrics of monitoring cannot be read.
    """
    metric = params.planning.primary_metric
    metrics = artefacts.read_json(artefacts.MONITORING_METRICS)
    try:
        values = metrics["quality"].get(metric)
        interval = None if values is None else _Interval.model_validate(values)
    except (KeyError, AttributeError, TypeError, ValidationError) as error:
        path = artefacts.MONITORING_METRICS.path
        raise ArtefactError(
            f"'quality' with value, low and high of {metric} in '{path}'",
            received=f"{type(error).__name__}: {error}",
            action="Run `uv run dvc repro --force --single-item monitoring`.",
        ) from error
    if interval is None:
        return None
    evidence = artefacts.read_verdict("monitoring").evidence
    lead = next((item.value for item in evidence if item.name == LEAD), None)
    return Measurement(metric=metric, **interval.model_dump(), as_of=params.shop.as_of, lead=lead)
