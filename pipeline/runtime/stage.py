"""The entry points of stages: command line, parameters, tracking, verdict, exit code.

    @stage("labeling", after="collection")
    def main(params: Params, run: Run) -> Verdict: ...

    if __name__ == "__main__":
        exit_with(main)

A stage starts only if the verdict of the phase `after` proceeds or is accepted: see
`pipeline.runtime.gates`. The decorated `main(argv)` returns 0 if the pipeline may continue, 1 after
an error or a verdict that stops and is not accepted, and 130 after Ctrl-C. Errors of Evergreen are
logged without a traceback.
"""

import argparse
import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.contracts.artefacts import write_verdict
from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.phases import Phase
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.exit import exit_with
from pipeline.runtime.gates import Acceptance, check_gate, may_go_on
from pipeline.runtime.progress import report_stage, write_running
from pipeline.runtime.quiet import quiet_imports, quiet_loggers
from pipeline.runtime.stage_cost import record_cost
from pipeline.runtime.tracking import Run, track_phase

__all__ = [  # with exit_with, which stages import from here
    "Main",
    "exit_with",
    "part",
    "quiet_tools",
    "run_command",
    "stage",
    "step",
    "use_all_cores_per_operation",
]

QUIET_TOOLS = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "KERAS_BACKEND": "tensorflow",
}

# TensorFlow's threads per operation. The operations of the frequency graphs and of the rankers are
# small, and several batches or networks run at a time: threads within one operation would mostly
# wait for each other.
THREADS, FEW = "TF_NUM_INTRAOP_THREADS", "1"

log = logging.getLogger("evergreen")


class Main(Protocol):
    """A stage's entry point: command-line arguments in, exit code out."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the stage."""
        ...


def quiet_tools() -> None:
    """Turn off the analytics and start-up noise of every tool, unless the user chose otherwise."""
    for name, value in {**QUIET_TOOLS, THREADS: FEW}.items():
        os.environ.setdefault(name, value)
    quiet_imports()


def use_all_cores_per_operation() -> None:
    """Let TensorFlow split operations over all cores, unless the user chose another number.

    Call it before the first operation: it takes effect when TensorFlow starts.
    """
    if os.environ.get(THREADS) == FEW:
        del os.environ[THREADS]


@dataclass(frozen=True)
class StageOptions:
    """Options of a stage's command line that make it do something else than the stage.

    Attributes:
        add: Adds the options to the parser.
        run: Returns the exit code, or None if the stage is to run.
    """

    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, argparse.ArgumentParser], int | None]


def stage(
    phase: Phase, *, after: Phase | None, options: StageOptions | None = None
) -> Callable[[Callable[[Params, Run], Verdict]], Main]:
    """Turn `function(params, run) -> Verdict` into the entry point of `phase`.

    Args:
        phase: The phase that the function runs.
        after: The phase whose verdict must proceed first; None for the first phase.
        options: Further options; dvc.yaml uses none.
    """

    def decorate(function: Callable[[Params, Run], Verdict]) -> Main:
        def main(argv: Sequence[str] | None = None) -> int:
            parser = _parser(function, phase)
            if options is None:
                parser.parse_args(argv)
                return _run(phase, after, function)
            options.add(parser)
            code = options.run(parser.parse_args(argv), parser)
            return _run(phase, after, function) if code is None else code

        return main

    return decorate


def part(
    phase: Phase, module: str, *, stages: str, after: Phase
) -> Callable[[Callable[[str, Params, Run], None]], Main]:
    """Turn `function(name, params, run)` into the entry point of one of several parts of `phase`.

    `python -m pipeline.<module> <name>` runs one part, `<stages>@<name>` in dvc.yaml. A part has a
    run in MLflow and no verdict: the phase judges its parts.

    Args:
        phase: The phase that the part belongs to.
        module: Module path below `pipeline`.
        stages: Name of the matrix stage in dvc.yaml.
        after: The phase whose verdict must proceed first.
    """

    def decorate(function: Callable[[str, Params, Run], None]) -> Main:
        def main(argv: Sequence[str] | None = None) -> int:
            parser = _parser(function, module)
            parser.add_argument("name", help="which one")
            name = str(parser.parse_args(argv).name)
            return _run_step(f"{stages}@{name}", phase, after, lambda *args: function(name, *args))

        return main

    return decorate


def step(
    phase: Phase, module: str, *, after: Phase
) -> Callable[[Callable[[Params, Run], None]], Main]:
    """Turn `function(params, run)` into the entry point of a stage without a verdict.

    Args:
        phase: The phase that the stage belongs to.
        module: Module path below `pipeline`; its last part is the stage's name in dvc.yaml.
        after: The phase whose verdict must proceed first.
    """

    def decorate(function: Callable[[Params, Run], None]) -> Main:
        name = module.rsplit(".", 1)[-1]

        def main(argv: Sequence[str] | None = None) -> int:
            _parser(function, module).parse_args(argv)
            return _run_step(name, phase, after, function)

        return main

    return decorate


def _parser(function: Callable[..., object], module: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"uv run python -m pipeline.{module}",
        description=inspect.getdoc(sys.modules[function.__module__]) or module,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _run_step(name: str, phase: Phase, after: Phase, work: Callable[[Params, Run], None]) -> int:
    """Return the exit code of a stage with a run in MLflow and no verdict."""

    def run_step(params: Params) -> int:
        with report_stage(name, params):
            accepted = check_gate(name, after)
            with track_phase(phase, params, name) as run, record_cost(name, run):
                _log_acceptance(accepted, run)
                work(params, run)
        return 0

    return run_command(name, run_step)


def _run(phase: Phase, after: Phase | None, function: Callable[[Params, Run], Verdict]) -> int:
    def run_phase(params: Params) -> int:
        with report_stage(phase, params):
            accepted = check_gate(phase, after)
            with track_phase(phase, params) as run, record_cost(phase, run):
                _log_acceptance(accepted, run)
                verdict = function(params, run)
                write_verdict(verdict)
                run.log_verdict(verdict)
        log.info("%s: %s. %s", phase, verdict.status_in_words, verdict.cause)
        if verdict.status != "stop" or may_go_on(verdict):
            return 0
        write_running(phase, f"{verdict.cause}. {verdict.action or ''}")
        return 1

    return run_command(phase, run_phase)


def _log_acceptance(accepted: Acceptance | None, run: Run) -> None:
    """Record the acceptance that lets the stage start, in the log and in the tracking store."""
    if accepted is None:
        return
    words = f"{accepted.phase} says '{accepted.status}', accepted: {accepted.because}"
    log.warning("%s", words)
    run.send(lambda client: client.set_tag(run.run_id, "accepted", words))


def run_command(what: str, run: Callable[[Params], int]) -> int:
    """Return the exit code of `run`; errors of Evergreen are logged without a traceback."""
    quiet_tools()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    quiet_loggers()
    try:
        return run(read_params())
    except EvergreenError as error:
        log.error("%s failed. %s", what, error)  # noqa: TRY400  the message suffices
        return 1
    except KeyboardInterrupt:
        log.error("%s was interrupted; its outputs are unchanged.", what)  # noqa: TRY400
        return 130
