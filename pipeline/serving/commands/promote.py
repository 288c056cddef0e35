"""Make a version the champion; a running service swaps it in without dropping a request.

Reads:  a kept version or a bundle's folder; params.yaml
Writes: models/releases/ (a verified copy, the pointer); the alias `champion` in MLflow's registry
"""

from collections.abc import Sequence

from pipeline.serving.commands.common import follow, parser, place, tell
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 when it answers, or will at the next start.

    Raises:
        EvergreenError: There is no such bundle, it is damaged, or the service refuses it.
    """
    arguments = parser("promote", __doc__)
    arguments.add_argument("version", metavar="VERSION|PATH")
    pointer = changes.promote(arguments.parse_args(argv).version, place())
    tell(f"Champion {pointer.champion}, before {pointer.previous}", pointer, pointer.champion)
    follow(pointer.champion)
    return 0
