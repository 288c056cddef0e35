"""Serve a version to a share of the users, always the same ones.

Reads:  an archived version or a bundle folder; serving.canary in params.yaml
Writes: models/releases/ (a verified copy, the pointer)
The service stops the canary if it has more errors, a higher latency or fewer hits than the
champion.
"""

from collections.abc import Sequence

from pipeline.contracts.params import read_params
from pipeline.serving.commands.common import build_parser, locate_release_store, report_change
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 if the pointer is written and the running service, if any, follows it.

    Raises:
        EvergreenError: The bundle does not exist or is damaged, or the service refuses it.
    """
    parser = build_parser("canary", __doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", metavar="VERSION|PATH", nargs="?")
    which.add_argument("--stop", action="store_true", help="end the canary")
    parser.add_argument(
        "--share", type=_parse_share, default=0.05, help="fraction of users, 0.001 to 0.5"
    )
    options = parser.parse_args(argv)
    rules = read_params().serving.canary
    pointer = changes.set_canary(options.version, options.share, rules, locate_release_store())
    if pointer.canary is None:
        report_change("No canary", pointer, None)
    else:
        version = pointer.canary.version
        report_change(f"Canary {version} for {options.share:.1%} of users", pointer, version)
    return 0


def _parse_share(text: str) -> float:
    """Return the share; argparse turns the ValueError into its own message."""
    value = float(text)
    if not 0.001 <= value <= 0.5:  # noqa: PLR2004  one of 1,000 buckets, to half of the users
        raise ValueError(text)
    return value
