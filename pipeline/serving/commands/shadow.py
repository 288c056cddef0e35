"""Let a version score every request without showing it to anybody.

Reads:  a kept version or a bundle's folder; params.yaml
Writes: models/releases/ (a verified copy, the pointer)
`uv run python -m pipeline.serving compare` then says how its answers differ from the champion's.
"""

from collections.abc import Sequence

from pipeline.serving.commands.common import parser, place, tell
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 when it scores, or will at the next start.

    Raises:
        EvergreenError: There is no such bundle, it is damaged, or the service refuses it.
    """
    arguments = parser("shadow", __doc__)
    which = arguments.add_mutually_exclusive_group(required=True)
    which.add_argument("version", metavar="VERSION|PATH", nargs="?")
    which.add_argument("--stop", action="store_true", help="no shadow any more")
    pointer = changes.set_shadow(arguments.parse_args(argv).version, place())
    tell(f"Shadow {pointer.shadow}" if pointer.shadow else "No shadow", pointer, pointer.shadow)
    return 0
