"""The commands of the loop: run, watch, answer, undo and ledger."""

import argparse
import logging
import math
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.lifecycle.loop.loop import Outcome

EXIT_CODES = """exit codes:
  0    every phase is healthy, or a person has accepted its verdict
  1    an error: a stage failed without a verdict, a file is damaged, another loop is at work
  3    out of cycles or minutes, with repairs left to try
  4    a question waits for a person; its number and the command that answers it are printed
  5    nothing helped, or the verdict names no repair
  130  stopped by Ctrl-C or SIGTERM; the next run goes on from there
"""


def add_commands(commands: Any) -> None:
    """Add the parsers of the loop's commands."""
    run = _add(
        commands, "run", run_loop, "run cycles, and repair what their verdicts find", EXIT_CODES
    )
    _add_limits(run)
    words = "print what it would do with the verdicts as they are, and change nothing"
    run.add_argument("--dry-run", action="store_true", help=words)
    watch = _add(commands, "watch", watch_loop, "run the loop on a schedule until SIGTERM")
    words = "between the end of a run and the next"
    watch.add_argument("--every", type=_positive, required=True, metavar="MINUTES", help=words)
    _add_limits(watch)
    answer = _add(commands, "answer", answer_question, "answer a question of the loop")
    answer.add_argument("number", type=int, help="of the question")
    answer.add_argument("option", help="one of its options")
    answer.add_argument("--because", metavar="REASON", help="kept in the ledger")
    undo = _add(commands, "undo", undo_attempt, "take back what an attempt changed")
    undo.add_argument("number", type=int, help="of the attempt: see `ledger`")
    _add(commands, "ledger", show_ledger, "the repairs that were tried, and what came of them")


def _add(
    commands: Any,
    name: str,
    run: "Callable[[argparse.Namespace], str]",
    words: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-cycles", type=_count, default=10, metavar="N",
        help="begin no repair after so many runs of `uv run dvc repro`; default: 10",
    )  # fmt: skip
    parser.add_argument(
        "--budget-minutes", type=_positive, metavar="M",
        help="begin no repair that is expected to exceed it; default: no limit",
    )  # fmt: skip


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return value


def run_loop(arguments: argparse.Namespace) -> str:
    """Run the loop, or print what it would do; return how it ended."""
    from pipeline.lifecycle.loop.watch import stop_on_signals

    _log_to_stderr()
    if arguments.dry_run:
        from pipeline.lifecycle.loop.preview import preview

        return preview()
    with stop_on_signals(signal.SIGTERM) as stopping:
        outcome = _run_once(arguments, stopping.is_set)
    arguments.exit_code = int(outcome.code)
    return outcome.message


def watch_loop(arguments: argparse.Namespace) -> str:
    """Run the loop on a schedule until SIGTERM or Ctrl-C."""
    from pipeline.lifecycle.loop.lock import WATCH_LOCK, hold_lock
    from pipeline.lifecycle.loop.watch import stop_on_signals, watch

    _log_to_stderr()
    with (
        hold_lock(WATCH_LOCK),
        stop_on_signals(signal.SIGTERM, signal.SIGINT) as stopping,
    ):
        watch(lambda: _run_once(arguments, stopping.is_set), arguments.every, stopping)
    return "The watch has ended."


def _run_once(arguments: argparse.Namespace, is_stopping: "Callable[[], bool]") -> "Outcome":
    from pipeline.lifecycle.ledger.journal import Journal
    from pipeline.lifecycle.loop.cycle import build_runner
    from pipeline.lifecycle.loop.lock import hold_lock
    from pipeline.lifecycle.loop.loop import Loop

    with hold_lock() as lock:
        loop = Loop(
            build_runner(lock),
            Journal(),
            maximum_cycles=arguments.max_cycles,
            budget_minutes=arguments.budget_minutes,
            is_stopping=is_stopping,
        )
        return loop.run()


def answer_question(arguments: argparse.Namespace) -> str:
    """Record the answer to a question; return what follows from it."""
    from pipeline.lifecycle.ledger.journal import Journal
    from pipeline.lifecycle.loop.answers import answer
    from pipeline.lifecycle.loop.lock import hold_lock

    with hold_lock():
        return answer(arguments.number, arguments.option, arguments.because, Journal())


def undo_attempt(arguments: argparse.Namespace) -> str:
    """Take back what an attempt changed; return what to run next."""
    from pipeline.lifecycle.ledger.journal import Journal
    from pipeline.lifecycle.loop.attempts import undo
    from pipeline.lifecycle.loop.choose import describe_step
    from pipeline.lifecycle.loop.lock import hold_lock

    with hold_lock():
        attempt = undo(arguments.number, Journal())
    is_seen_by_dvc = attempt.effect is not None and attempt.effect.kind == "params"
    command = "uv run dvc repro" if is_seen_by_dvc else "make monitor"
    words = describe_step(attempt.repair)
    return f"Took back attempt {attempt.number}: {words}. Run `{command}` to judge it again."


def show_ledger(arguments: argparse.Namespace) -> str:  # noqa: ARG001  as every command
    """Return the history of the ledger as a table."""
    from pipeline.lifecycle.ledger.history import format_history
    from pipeline.lifecycle.ledger.ledger_file import LEDGER, read_ledger

    contents = read_ledger()
    if contents.torn:
        words = f"The last line of '{LEDGER}' was written in part, and is left out."
        print(words, file=sys.stderr)
    return format_history(contents.entries, shutil.get_terminal_size((100, 24)).columns)


def _log_to_stderr() -> None:
    from pipeline.runtime.quiet import quiet_loggers

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    quiet_loggers()
