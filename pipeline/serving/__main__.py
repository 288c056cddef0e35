"""Serving: the HTTP service and its commands.

    uv run python -m pipeline.serving [serve] [--host HOST] [--port PORT]
    uv run python -m pipeline.serving COMMAND --help

Commands:
"""

import importlib
import logging
import sys
from collections.abc import Sequence

from pipeline.contracts.errors import EvergreenError
from pipeline.runtime.quiet import quiet_loggers
from pipeline.runtime.stage import exit_with, quiet_tools
from pipeline.serving import commands

# Command and module name in `commands`, with its help text.
COMMANDS = {
    "serve": "answer in the foreground; Ctrl-C stops it",
    "score": "score many users into a file, without a service",
    "forget": "remove a person's events and predictions for good",
    "retain": "delete what is older than serving.retention_days",
    "key": "make, list and revoke API keys",
    "pseudonym": "print what stands for a user in the logs",
    "releases": "list which version answers and which are archived",
    "promote": "make a version or a folder the champion",
    "rollback": "go back to the champion before",
    "shadow": "let a version score without being shown",
    "canary": "let a version answer a share of users",
    "compare": "compare the shadow with the champion",
}
DEFAULT = "serve"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 on success, 1 on an EvergreenError, 2 if the command is unknown."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-h"], ["--help"]):
        print(_help())
        return 0
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else DEFAULT
    if name not in COMMANDS:
        print(f"'{name}' is not a command.\n\n{_help()}", file=sys.stderr)
        return 2
    quiet_tools()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    quiet_loggers()
    try:
        return int(importlib.import_module(f"{commands.__name__}.{name}").main(arguments))
    except EvergreenError as error:
        logging.getLogger("evergreen").error("%s: %s", type(error).__name__, error)  # noqa: TRY400
        return 1


def _help() -> str:
    lines = [f"    {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join([str(__doc__).rstrip(), *lines])


if __name__ == "__main__":
    exit_with(main)
