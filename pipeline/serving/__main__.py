"""Serve the champion in the foreground; Ctrl-C stops it.

Reads: params.yaml, models/champion/.
Writes: the event store (serving.event_store in params.yaml).
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from pipeline.errors import EvergreenError
from pipeline.stage import quiet_loggers, quiet_tools


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 when it was stopped, 130 by Ctrl-C, 1 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address to listen on; serving.host of params.yaml")
    parser.add_argument("--port", type=int, help="serving.port of params.yaml")
    arguments = parser.parse_args(argv)
    quiet_tools()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    quiet_loggers()
    try:
        from pipeline.serving.foreground import serve

        return serve(host=arguments.host, port=arguments.port)
    except EvergreenError as error:
        logging.getLogger("evergreen").error("%s: %s", type(error).__name__, error)  # noqa: TRY400
        return 1


if __name__ == "__main__":
    sys.exit(main())
