"""Lifecycle: how the circle stands, phase by phase.

Reads:  reports/<phase>/verdict.json of every phase
Writes: nothing
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence

from pipeline.errors import EvergreenError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command: 0 if it could answer, 1 if a verdict cannot be read."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    from pipeline.lifecycle import status
    from pipeline.verdicts import PHASES

    try:
        verdicts = status.read_verdicts()
    except EvergreenError as error:
        print(f"lifecycle failed. {error}", file=sys.stderr)
        return 1
    rows = [status.status_of(phase, verdicts.get(phase)) for phase in PHASES]
    width = shutil.get_terminal_size((100, 24)).columns
    text = status.as_text(rows, width)
    if arguments.json:
        text = json.dumps(status.as_json(rows), indent=2, sort_keys=True, ensure_ascii=False)
    print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.lifecycle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    words = "which phase is healthy, the number that says so, and where to look"
    status = commands.add_parser("status", help=words, description=f"Show {words}.")
    status.add_argument("--json", action="store_true", help="for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
