"""Make a version the champion; a running service swaps it in without dropping a request.

Reads:  an archived version or a bundle folder; params.yaml
Writes: models/releases/ (a verified copy, the pointer); the alias `champion` in MLflow's registry
"""

from collections.abc import Sequence

from pipeline.serving.commands.common import (
    build_parser,
    locate_release_store,
    report_change,
    update_alias,
)
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 if the pointer is written and the running service, if any, follows it.

    Raises:
        EvergreenError: The bundle does not exist or is damaged, or the service refuses it.
    """
    parser = build_parser("promote", __doc__)
    parser.add_argument("version", metavar="VERSION|PATH")
    pointer = changes.promote(parser.parse_args(argv).version, locate_release_store())
    report_change(
        f"Champion {pointer.champion}, before {pointer.previous}", pointer, pointer.champion
    )
    update_alias(pointer.champion)
    return 0
