"""Make the previous champion the champion again; a running service swaps it in.

Reads:  models/releases/; params.yaml
Writes: models/releases/release.json; the alias `champion` in MLflow's registry
A second rollback undoes the first. After `dvc repro`, it restores the champion before that run.
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
        EvergreenError: There is no previous champion, it is damaged, or the service refuses it.
    """
    build_parser("rollback", __doc__).parse_args(argv)
    pointer = changes.rollback(locate_release_store())
    report_change(
        f"Champion {pointer.champion} again, before {pointer.previous}", pointer, pointer.champion
    )
    update_alias(pointer.champion)
    return 0
