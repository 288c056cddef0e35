"""Let a version score every request; no user sees its answers.

Reads:  an archived version or a bundle folder; params.yaml
Writes: models/releases/ (a verified copy, the pointer)
`uv run python -m pipeline.serving compare` compares its answers with the champion's.
"""

from collections.abc import Sequence

from pipeline.serving.commands.common import build_parser, locate_release_store, report_change
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 if the pointer is written and the running service, if any, follows it.

    Raises:
        EvergreenError: The bundle does not exist or is damaged, or the service refuses it.
    """
    parser = build_parser("shadow", __doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", metavar="VERSION|PATH", nargs="?")
    which.add_argument("--stop", action="store_true", help="end the shadow")
    pointer = changes.set_shadow(parser.parse_args(argv).version, locate_release_store())
    report_change(
        f"Shadow {pointer.shadow}" if pointer.shadow else "No shadow", pointer, pointer.shadow
    )
    return 0
