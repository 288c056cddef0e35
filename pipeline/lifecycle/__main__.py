"""Lifecycle: how the circle stands, phase by phase, and what a person accepts of it.

Reads:  reports/<phase>/verdict.json and data/accepted/<phase>.json of every phase; dvc.lock and
        what it names; for `estimates` the plan, the test metrics and reports/costs
Writes: data/accepted/<phase>.json, by `accept`
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.verdicts import PHASES
from pipeline.runtime.stage import exit_with


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command: 0 if it is done, 1 if it could not be; a summary returns what it sums up."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        print(arguments.run(arguments))
    except EvergreenError as error:
        print(f"lifecycle failed. {error}", file=sys.stderr)
        return 1
    return int(getattr(arguments, "exit_code", 0))


def show_status(arguments: argparse.Namespace) -> str:
    """Return how every phase stands, as text or as JSON."""
    from pipeline.lifecycle import status

    rows = status.read_status()
    if arguments.json:
        return json.dumps(status.as_json(rows), indent=2, sort_keys=True, ensure_ascii=False)
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((100, 24)).columns
    return status.as_text(rows, width, status.ANSI if is_coloured else status.NOTHING)


def accept_verdict(arguments: argparse.Namespace) -> str:
    """Accept the verdict of a phase; return what was accepted and what comes next."""
    from pipeline.runtime import gates

    accepted = gates.accept(arguments.phase, arguments.because)
    return "\n".join(
        [
            f"Accepted '{accepted.status}' of {accepted.phase}: {accepted.because}",
            f"  it says: {accepted.cause}",
            *(f"  missing: {words}" for words in accepted.missing),
            f"Written to {gates.file_of(accepted.phase)}; commit it, then `uv run dvc repro`.",
        ]
    )


def show_estimates(arguments: argparse.Namespace) -> str:  # noqa: ARG001  as every command
    """Return what planning estimated beside what happened."""
    from pipeline.contracts import artefacts
    from pipeline.contracts.plan import read_plan
    from pipeline.lifecycle import estimates

    plan, tested = read_plan(), artefacts.TEST_METRICS
    metrics = artefacts.read_json(tested) if tested.path.exists() else None
    return estimates.as_text([*estimates.cost_rows(plan), *estimates.quality_rows(plan, metrics)])


def show_summary(arguments: argparse.Namespace) -> str:
    """Return what `make repro` ends with."""
    from pipeline.contracts.params import read_params
    from pipeline.lifecycle.summary import summary

    width = shutil.get_terminal_size((100, 24)).columns
    return summary(read_params(), arguments.exit_code, arguments.since, width)


def show_link(arguments: argparse.Namespace) -> str:
    """Return where MLflow's UI shows the cycles."""
    from pipeline.contracts.params import read_params
    from pipeline.lifecycle.runs import link
    from pipeline.runtime.stage import quiet_tools

    quiet_tools()
    return f"Open {link(read_params().tracking, arguments.address)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.lifecycle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    words = "which phase is healthy, the number that says so, and where to look"
    status = commands.add_parser("status", help=words, description=f"Show {words}.")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=show_status)
    words = "let the circle go on although a phase says return or stop"
    accept = commands.add_parser("accept", help=words, description=f"Accept: {words}.")
    accept.add_argument("phase", choices=PHASES, help="whose verdict", metavar="phase")
    accept.add_argument("--because", required=True, help="why; it is kept in git", metavar="REASON")
    accept.set_defaults(run=accept_verdict)
    words = "what planning estimated beside what the phases took here and what the model reached"
    estimates = commands.add_parser("estimates", help=words, description=f"Show {words}.")
    estimates.set_defaults(run=show_estimates)
    words = "where MLflow's UI shows the cycles, with their numbers"
    runs = commands.add_parser("runs", help=words, description=f"Show {words}.")
    runs.add_argument("--address", default="http://127.0.0.1:5000", help="of the UI")
    runs.set_defaults(run=show_link)
    words = "what `make repro` ends with: times, champion, what to do next"
    summary = commands.add_parser("summary", help=words, description=f"Show {words}.")
    summary.add_argument("--exit-code", type=int, default=0, help="of dvc repro; it is returned")
    summary.add_argument("--since", type=float, default=0, help="when it began, seconds since 1970")
    summary.set_defaults(run=show_summary)
    return parser


if __name__ == "__main__":
    exit_with(main, when_not_read=0)
