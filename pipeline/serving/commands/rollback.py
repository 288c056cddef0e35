"""Go back to the champion before this one; a running service swaps it in.

Reads:  models/releases/; params.yaml
Writes: models/releases/release.json; the alias `champion` in MLflow's registry
A second rollback undoes the first. After `dvc repro` it goes back to what answered before.
"""

from collections.abc import Sequence

from pipeline.serving.commands.common import follow, parser, place, tell
from pipeline.serving.releases import changes


def main(argv: Sequence[str]) -> int:
    """Return 0 when the previous champion answers, or will at the next start.

    Raises:
        EvergreenError: No previous champion is known, it is damaged, or the service refuses it.
    """
    parser("rollback", __doc__).parse_args(argv)
    pointer = changes.rollback(place())
    tell(f"Champion {pointer.champion} again, before {pointer.previous}", pointer, pointer.champion)
    follow(pointer.champion)
    return 0
