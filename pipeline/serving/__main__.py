"""Serving: the endpoint and what keeps it going.

    uv run python -m pipeline.serving [serve] [--host HOST] [--port PORT]
    uv run python -m pipeline.serving COMMAND --help

Commands:
"""

import importlib
import logging
import sys
from collections.abc import Sequence

from pipeline.errors import EvergreenError
from pipeline.quiet import quiet_loggers
from pipeline.stage import exit_with, quiet_tools

# By name: the module whose `main(argv)` runs it, and what it does.
COMMANDS = {
    "serve": ("pipeline.serving.foreground", "answer in the foreground; Ctrl-C stops it"),
    "score": ("pipeline.serving.score", "score many shoppers into a file, without a service"),
    "forget": ("pipeline.serving.forget", "remove a person's events and predictions for good"),
    "retain": ("pipeline.serving.retain", "delete what is older than serving.retention_days"),
    "key": ("pipeline.serving.keys", "make, list and revoke API keys"),
    "pseudonym": ("pipeline.serving.pseudonym", "what stands for a shopper in the logs"),
    "releases": ("pipeline.releases.commands.releases", "which version answers, what is kept"),
    "promote": ("pipeline.releases.commands.promote", "make a version or a folder the champion"),
    "rollback": ("pipeline.releases.commands.rollback", "go back to the champion before"),
    "shadow": ("pipeline.releases.commands.shadow", "let a version score without being shown"),
    "canary": ("pipeline.releases.commands.canary", "let a version answer a share of shoppers"),
    "compare": ("pipeline.releases.commands.compare", "hold the shadow against the champion"),
}
DEFAULT = "serve"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command: 0 when it is done, 1 when it could not be, 2 when it is not understood."""
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
        return int(importlib.import_module(COMMANDS[name][0]).main(arguments))
    except EvergreenError as error:
        logging.getLogger("evergreen").error("%s: %s", type(error).__name__, error)  # noqa: TRY400
        return 1


def _help() -> str:
    lines = [f"    {name:<10} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join([str(__doc__).rstrip(), *lines])


if __name__ == "__main__":
    exit_with(main)
