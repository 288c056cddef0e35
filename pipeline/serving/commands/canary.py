"""Let a version answer a share of the shoppers, always the same ones.

Reads:  a kept version or a bundle's folder; serving.canary of params.yaml
Writes: models/releases/ (a verified copy, the pointer)
It is stopped by itself when it errs more, is slower, or is wanted less than the champion.
"""

from collections.abc import Sequence

from pipeline.contracts.params import read_params
from pipeline.serving.commands.common import parser, place, tell
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 when it answers, or will at the next start.

    Raises:
        EvergreenError: There is no such bundle, it is damaged, or the service refuses it.
    """
    arguments = parser("canary", __doc__)
    which = arguments.add_mutually_exclusive_group(required=True)
    which.add_argument("version", metavar="VERSION|PATH", nargs="?")
    which.add_argument("--stop", action="store_true", help="the champion answers all again")
    arguments.add_argument("--share", type=_share, default=0.05, help="of shoppers, 0.001 to 0.5")
    found = arguments.parse_args(argv)
    rules = read_params().serving.canary
    pointer = changes.set_canary(found.version, found.share, rules, place())
    if pointer.canary is None:
        tell("No canary", pointer, None)
    else:
        version = pointer.canary.version
        tell(f"Canary {version} for {found.share:.1%} of shoppers", pointer, version)
    return 0


def _share(text: str) -> float:
    """Return the share; argparse says the message of a ValueError only by its type's name."""
    value = float(text)
    if not 0.001 <= value <= 0.5:  # noqa: PLR2004  one bucket of a thousand; the champion's half
        raise ValueError(text)
    return value
