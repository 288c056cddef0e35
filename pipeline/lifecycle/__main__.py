"""Lifecycle: the loop that repairs, the status of every phase, and the acceptance of verdicts.

Reads:  reports/<phase>/verdict.json and data/accepted/<phase>.json of every phase; dvc.lock and
        the files that it lists; for `estimates` the plan, the test metrics and reports/costs
Writes: data/accepted/<phase>.json, by `accept`; data/lifecycle and params.yaml, by the loop
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.phases import PHASES
from pipeline.lifecycle.loop.commands import add_commands
from pipeline.runtime.exit import exit_with

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code, or 1 after an error."""
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
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    return int(getattr(arguments, "exit_code", 0))


def show_status(arguments: argparse.Namespace) -> str:
    """Return the status of every phase, as text or as JSON."""
    from pipeline.lifecycle import status

    rows = status.read_status()
    if arguments.json:
        return json.dumps(status.format_json(rows), indent=2, sort_keys=True, ensure_ascii=False)
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((100, 24)).columns
    return status.format_table(rows, width, status.ANSI if is_coloured else status.NO_COLOURS)


def accept_verdict(arguments: argparse.Namespace) -> str:
    """Accept the verdict of a phase; return the acceptance and the next step."""
    from pipeline.runtime import gates

    accepted = gates.accept(arguments.phase, arguments.because)
    path = gates.acceptance_path(accepted.phase)
    return "\n".join(
        [
            f"Accepted '{accepted.status}' of {accepted.phase}: {accepted.because}",
            f"  cause: {accepted.cause}",
            *(f"  missing: {words}" for words in accepted.missing),
            f"Written to {path}; commit it, then run `uv run dvc repro`.",
        ]
    )


def show_estimates(arguments: argparse.Namespace) -> str:  # noqa: ARG001  as every command
    """Return the estimates of planning and the measurements."""
    from pipeline.contracts import artefacts
    from pipeline.contracts.plan import read_plan
    from pipeline.contracts.testing_report import TestReport
    from pipeline.lifecycle import estimates

    plan, tested = read_plan(), artefacts.TEST_METRICS
    report = artefacts.read_record(TestReport, tested) if tested.path.exists() else None
    return estimates.format_table(
        [*estimates.compare_costs(plan), *estimates.compare_quality(plan, report)]
    )


def show_summary(arguments: argparse.Namespace) -> str:
    """Return the summary at the end of `make repro`."""
    from pipeline.contracts.params import read_params
    from pipeline.lifecycle.summary import build_summary

    width = shutil.get_terminal_size((100, 24)).columns
    return build_summary(read_params(), arguments.exit_code, arguments.since, width)


def show_link(arguments: argparse.Namespace) -> str:
    """Return the address of the cycles in MLflow's UI."""
    from pipeline.contracts.params import read_params
    from pipeline.lifecycle.runs import build_link
    from pipeline.runtime.stage import quiet_tools

    quiet_tools()
    return f"Open {build_link(read_params().tracking, arguments.address)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.lifecycle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    add_commands(commands)
    words = "the health of each phase, its main number and its page"
    status = commands.add_parser("status", help=words, description=f"Show {words}.")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=show_status)
    words = "continue although the verdict of a phase returns or stops"
    accept = commands.add_parser("accept", help=words, description=f"Accept: {words}.")
    accept.add_argument("phase", choices=PHASES, help="phase of the verdict", metavar="phase")
    accept.add_argument("--because", required=True, help="kept in git", metavar="REASON")
    accept.set_defaults(run=accept_verdict)
    words = "the estimates of planning, and the cost and quality measured here"
    estimates = commands.add_parser("estimates", help=words, description=f"Show {words}.")
    estimates.set_defaults(run=show_estimates)
    words = "the address of the cycles, with their numbers, in MLflow's UI"
    runs = commands.add_parser("runs", help=words, description=f"Show {words}.")
    runs.add_argument("--address", default="http://127.0.0.1:5000", help="address of the UI")
    runs.set_defaults(run=show_link)
    words = "the end of `make repro`: times, champion, next steps"
    summary = commands.add_parser("summary", help=words, description=f"Show {words}.")
    summary.add_argument("--exit-code", type=int, default=0, help="of dvc repro; it is returned")
    summary.add_argument("--since", type=float, default=0, help="start in seconds since 1970")
    summary.set_defaults(run=show_summary)
    return parser


if __name__ == "__main__":
    exit_with(main, when_not_read=0)
